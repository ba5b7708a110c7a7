//! What scripts rely on: values and exit codes as jq has them.

use super::*;

fn jq(arguments: &[&str], stdin: &str) -> (u8, String) {
    let mut out = Vec::new();
    let arguments = arguments.iter().map(|argument| (*argument).to_owned());
    let code = run(arguments, stdin.as_bytes(), &mut out).unwrap_or_else(|problem| problem.code);
    (code, String::from_utf8(out).unwrap())
}

#[track_caller]
fn check(arguments: &[&str], stdin: &str, code: u8, out: &str) {
    assert_eq!(jq(arguments, stdin), (code, out.to_owned()));
}

#[test]
fn output_is_as_asked_for() {
    check(
        &["."],
        r#"{"b":[1,{}],"a":"x"}"#,
        0,
        "{\n  \"b\": [\n    1,\n    {}\n  ],\n  \"a\": \"x\"\n}\n",
    );
    check(
        &["-c", "."],
        r#"{"b": [1, 2.50], "a": "é\n"}"#,
        0,
        "{\"b\":[1,2.50],\"a\":\"é\\n\"}\n",
    );
    check(&["-r", ".[]"], r#"["a b", 1, null]"#, 0, "a b\n1\nnull\n");
    check(
        &["-rc", "-S", "."],
        r#"{"b":1,"a":2}"#,
        0,
        "{\"a\":2,\"b\":1}\n",
    );
    check(&["-j", ".[]"], r#"["a", 1]"#, 0, "a1");
    check(&["--indent", "1", "."], "[1]", 0, "[\n 1\n]\n");
}

#[test]
fn input_is_as_asked_for() {
    check(&["-n", "1 + 1"], "this is not read", 0, "2\n");
    check(&["-c", "-s", "."], "1 2 [3]", 0, "[1,2,[3]]\n");
    check(&["-R", "."], "a\nb\n", 0, "\"a\"\n\"b\"\n");
    check(&["-c", "-n", "[inputs]"], "1 2", 0, "[1,2]\n");
    check(&["-c", "[., input]"], "1 2 3 4", 0, "[1,2]\n[3,4]\n");
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("f.json");
    std::fs::write(&file, "{\"k\": 1} 2").unwrap();
    let file = file.to_str().unwrap();
    check(&["-c", ".", file], "", 0, "{\"k\":1}\n2\n");
    check(
        &["-nc", "--slurpfile", "f", file, "$f"],
        "",
        0,
        "[{\"k\":1},2]\n",
    );
    check(
        &["-n", "--rawfile", "f", file, "$f"],
        "",
        0,
        "\"{\\\"k\\\": 1} 2\"\n",
    );
}

#[test]
fn variables_reach_the_program() {
    check(
        &[
            "-n",
            "--arg",
            "a",
            "it's",
            "--argjson",
            "b",
            "{\"c\":[1]}",
            "-c",
            "[$a, $b.c[0], $ARGS.named.a]",
        ],
        "",
        0,
        "[\"it's\",1,\"it's\"]\n",
    );
    check(
        &["-n", "$ENV.CARGO_PKG_NAME, env.CARGO_PKG_NAME"],
        "",
        0,
        "\"ztc\"\n\"ztc\"\n",
    );
}

#[test]
fn exit_codes_are_those_of_jq() {
    check(&["-e", ".a"], r#"{"a": 1}"#, 0, "1\n");
    check(&["-e", ".a"], "{}", 1, "null\n");
    check(&["-e", ".a"], r#"{"a": false}"#, 1, "false\n");
    check(&["-e", "empty"], "{}", 4, "");
    check(&["."], "{", 2, "");
    check(&["."], "1 }", 2, "1\n");
    check(&[], "", 2, "");
    check(&["--no-such", "."], "", 2, "");
    check(&[".", "/no/such/file"], "", 2, "");
    check(&["-n", "--argjson", "a", "{", "1"], "", 2, "");
    check(&[".["], "1", 3, "");
    check(&["nofunction"], "1", 3, "");
    check(&[".a"], "[] {\"a\":1}", 5, "1\n");
    check(&["error(\"x\")"], "1", 5, "");
    check(&["-n", "1, halt, 2"], "", 0, "1\n");
    check(&["-n", "\"x\" | halt_error(3)"], "", 3, "");
}

#[test]
fn what_the_scripts_of_this_project_ask_works() {
    let nodes = r#"{"items":[{"metadata":{"name":"cp01"},"spec":{"providerID":"hcloud://1"},"status":{"conditions":[{"type":"Ready","status":"True"}],"addresses":[{"type":"InternalIP","address":"192.0.2.1"}]}}]}"#;
    check(
        &[
            "-r",
            r#".items[] | select(any(.status.conditions[]; .type == "Ready" and .status == "True")) | "\(.metadata.name)\t\(.spec.providerID // "none")""#,
        ],
        nodes,
        0,
        "cp01\thcloud://1\n",
    );
    check(
        &[
            "-r",
            r#"[.items[].status.addresses[]? | select(.type|test("^Internal")) | .address] | join(",")"#,
        ],
        nodes,
        0,
        "192.0.2.1\n",
    );
    check(
        &["-r", "@base64d, (\"a b\" | @uri, @sh)"],
        "\"aGk=\"",
        0,
        "hi\na%20b\n'a b'\n",
    );
    check(
        &["-r", "to_entries[] | [.key, (.value|tostring)] | @tsv"],
        r#"{"a": 1, "b": {"c": 2}}"#,
        0,
        "a\t1\nb\t{\"c\":2}\n",
    );
}

#[test]
fn what_jaq_leaves_out_is_there() {
    check(
        &["-r", "@tsv"],
        r#"["a\tb\\", null, 1, true]"#,
        0,
        "a\\tb\\\\\t\t1\ttrue\n",
    );
    check(
        &["-r", "@csv"],
        r#"["a\"b", null, 1]"#,
        0,
        "\"a\"\"b\",,1\n",
    );
    check(
        &["-c", "IN(1, 2), INDEX([3]; .[0]), toarray"],
        "1",
        0,
        "true\n{\"3\":[3]}\n[1]\n",
    );
}
