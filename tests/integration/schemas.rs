//! What `--json` writes, against the schemas in `docs/`.

use serde_json::Value;

/// Expects a value to have the form that a schema of `docs/` describes.
#[track_caller]
pub(crate) fn valid(schema: &str, value: &Value) {
    let path = crate::tidy::root().join("docs").join(schema);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{schema}: {error}"));
    let schema: Value = serde_json::from_str(&text).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let wrong: Vec<String> = validator
        .iter_errors(value)
        .map(|error| format!("{}: {error}", error.instance_path()))
        .collect();
    assert_eq!(wrong, Vec::<String>::new(), "{value:#}");
}

#[test]
fn a_failure_is_one_line_that_has_a_schema() {
    let environment = crate::environment::TestEnv::new();
    let missing = environment.ztc(&["render", "--json"]);
    insta::assert_snapshot!(missing.stdout, @r#"{"error":{"exit":"invalid","message":"there is no `platform.yaml` in `[REPO]`","help":"write one with `ztc init`, or name the directory that holds it with `--directory DIR`"}}"#);
    assert_eq!(missing.code, Some(2));
    environment.write("platform.yaml", "environment: lab\nadapter: {}\n");
    let wrong = environment.ztc(&["validate", "--json"]);
    insta::assert_snapshot!(wrong.stdout, @r#"{"error":{"exit":"invalid","message":"`platform.yaml` is not valid","findings":[{"severity":"error","message":"key `apiVersion` is missing","location":{"file":"platform.yaml","line":1,"column":1},"help":"write `apiVersion: ztc/v1`"},{"severity":"error","message":"key `adapters` is missing","location":{"file":"platform.yaml","line":1,"column":1},"help":"name the adapters of the platform under `adapters:`, or write a new file with `ztc init`"},{"severity":"error","message":"unknown key `adapter`","location":{"file":"platform.yaml","line":2,"column":1},"help":"did you mean `adapters`?"}]}}"#);
    assert_eq!(wrong.code, Some(2));
    for run in [missing, wrong] {
        valid("error.schema.json", &run.json());
    }
}
