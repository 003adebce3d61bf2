//! What the API asks of the server as a whole.

use crate::start::Loader;
use async_trait::async_trait;
use squall_api::Reloaded;
use squall_engine::Engine;
use std::sync::Arc;

/// The server, as the API sees it.
pub(crate) struct Admin {
    pub engine: Engine,
    pub loader: Arc<Loader>,
}

#[async_trait]
impl squall_api::Admin for Admin {
    async fn reload(&self) -> Result<Reloaded, String> {
        self.loader.reload(&self.engine).await
    }

    fn content(&self) -> Reloaded {
        self.loader.last()
    }

    fn unready(&self) -> Option<String> {
        self.engine.unready().map(str::to_owned)
    }
}
