//! `squall explain SQ1203`: the page of an error code.

use crate::exit::{Done, Stop};
use crate::output::say;
use clap::Args;

/// Every page of `docs/errors`, made part of the program by the build script.
const PAGES: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/errors.rs"));

/// Say what an error code means.
#[derive(Args)]
pub struct Explain {
    /// The code, e.g. `SQ1203`; without one, all codes are listed.
    code: Option<String>,
}

impl Explain {
    pub fn run(&self) -> Done {
        let Some(code) = &self.code else {
            for (code, page) in PAGES {
                say(&format!("{code}  {}", title(page)));
            }
            return Ok(());
        };
        let wanted = code.trim().to_ascii_uppercase();
        match PAGES.iter().find(|(code, _)| *code == wanted) {
            Some((_, page)) => {
                say(page.trim_end());
                Ok(())
            }
            None => Err(Stop::Usage(format!("there is no code `{code}`; `squall explain` lists all"))),
        }
    }
}

/// The first line of a page, without its mark.
fn title(page: &str) -> &str {
    page.lines().next().unwrap_or_default().trim_start_matches(['#', ' '])
}
