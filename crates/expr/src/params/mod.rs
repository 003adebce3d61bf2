//! Parameters of actions: what they may be, how they are rendered, how texts become typed values.
//!
//! A [`Schema`] describes one parameter; [`merge`] puts the runner's and the action's together; [`validate`]
//! says what is wrong with a request in the words of the original. [`Rendering`] evaluates templates in
//! values and defaults along their dependencies: [`Rendering::live`] when an execution is requested,
//! [`Rendering::finally`] when it starts. [`cast`] is the conversion to the type that a schema names.
//!
//! Nothing here knows executions or who is asking; the datastore comes in through [`crate::Host`].

mod cast;
mod literal;
pub(crate) mod python_number;
mod render;
mod schema;
mod secrets;
mod validate;

pub(crate) use cast::type_name;
pub use cast::{cast, cast_from_chat, cast_parameter};
pub use literal::python_literal;
pub use render::Rendering;
pub use schema::{Kind, Schema, Schemas, merge, registration_problems, schemas};
pub use secrets::{mask, mask_value};
pub use validate::{refuse_immutable, validate, validate_value};
