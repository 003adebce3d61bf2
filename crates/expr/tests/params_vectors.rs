//! Parameter rendering and casts against the recorded behaviour of the original.

mod support;

#[test]
fn recorded_parameters() {
    let run = support::Run { file: "params.jsonl", exceptions: &[], classes: true, wrapped: &[] };
    support::run(&run, |v| Some(v.clone()), squall_expr::batch::action_render);
}
