//! Expressions that pass, and what is said of those that do not.

use super::*;

#[test]
fn good_expressions_pass() {
    for good in [
        "disk.transport == \"nvme\"",
        "disk.size > 120u * GB && disk.size < 1u * TB",
        "disk.transport == 'sata' && !disk.rotational && !system_disk",
        "disk.model.startsWith('SAMSUNG') || glob('*CT1000*', disk.model)",
        "'/dev/disk/by-id/x' in disk.symlinks",
        "disk.symlinks.exists(link, link.contains('by-id'))",
        "disk.size >= (system_disk ? 100u : 200u) * GiB // why",
        "disk.transport in ['sata', 'nvme'] == true",
        "size(disk.serial) > 0 && disk.serial.size() < 10",
        "uint(5) + 0x10u == 21u && -1 < 2 && 1.5e3 > 1.0",
    ] {
        assert_eq!(check(good, About::Disk), Ok(()), "{good}");
    }
    assert_eq!(
        check(
            "volume.partition_label == 'MY-DATA' && disk.size > 1u * GB",
            About::Volume
        ),
        Ok(())
    );
}

#[test]
fn wrong_expressions_say_why() {
    for (text, why) in [
        (
            "disk.transport = 'nvme'",
            "`=` at character 16 does not compare; write `==`",
        ),
        (
            "disk.size > 100",
            "`>` does not go with uint and int; an unsigned number is written as `100u`",
        ),
        (
            "disk.trnsport == 'nvme'",
            "a disk has no field `trnsport`, did you mean `transport`?",
        ),
        ("disk.size", "its result is of type uint and must be bool"),
        ("disk.size >", "it ends too early"),
        ("'nvme", "the text at character 1 has no end"),
        (
            "disks.size > 1u",
            "there is no `disks`, did you mean `disk`?",
        ),
        (
            "disk.size > 1u && disk.model",
            "`&&` does not take a string",
        ),
        ("(disk.rotational", "it ends too early"),
        (
            "disk.rotational)",
            "`)` at character 16 does not belong there",
        ),
        (
            "disk.rotational == 'no'",
            "`==` does not go with bool and string",
        ),
        (
            "disk.model.beginsWith('x')",
            "a string has no function `beginsWith`",
        ),
        (
            "glob(disk.model)",
            "`glob` does not take string; it takes string and string",
        ),
        ("volume.size > 1u", "there is no `volume`"),
        ("", "it ends too early"),
        (
            "disk.rotational § true",
            "`§` at character 17 does not belong there",
        ),
        ("!disk.size", "`!` does not take a uint"),
    ] {
        assert_eq!(check(text, About::Disk).unwrap_err(), why, "{text}");
    }
    assert!(check(&"(".repeat(5000), About::Disk).is_err());
}

/// What the type checker of Talos 1.11 (cel-go 0.26) accepts, and would not be expected.
#[test]
fn the_whole_language_is_read() {
    for good in [
        "disk.symlinks.exists(s, s.matches(\"^/dev/disk/by-id/\"))",
        "type(disk.size) == uint",
        "{\"a\": true}[\"a\"]",
        "{\"a\": true}.a",
        "[1, \"a\"][0] == 1",
        "[] == [5]",
        "{} == {\"a\": 1}",
        "[1, 2,].size() == 2",
        "disk.symlinks.map(s, s.size()).exists(n, n > 5)",
        "disk.symlinks.map(s, s.contains(\"id\"), s)[0] == \"a\"",
        "disk.symlinks.exists_one(s, s == \"a\") && disk.symlinks.filter(s, s != \"\").size() > 1",
        "disk.symlinks.all(s, disk.size > 5)",
        "has(disk.serial) && has((disk.wwid))",
        "has({\"a\": 1}.b)",
        "disk != null && null == null",
        "dyn(5) == \"a\"",
        "dyn(true) && !dyn(false)",
        "timestamp(\"2026-01-01T00:00:00Z\") - timestamp(5) > duration(\"1s\")",
        "timestamp(5).getHours(\"UTC\") == 5 && duration(\"1h\").getHours() == 1",
        "int(disk.size) > 5 && uint(1.5 * double(GB)) < disk.size",
        "disk.size > uint(\"5\")",
        "true ? [].size() == 0 : false",
        "(true ? [] : [\"a\"]) == [\"b\"]",
        "'\\x41\\101\\u00e9\\U0001F600\\?' != \"\"",
        "\"\"\"a\nb\"\"\" != r'\\d+'",
        "br'\\q' == b'\\xff'",
        "-9223372036854775808 < 0",
        ".5 < 1e3 && 0x1F == 31 && 0xFFu == 255u",
        ".disk.size > 1u",
        ".size(\"a\") == 1",
        "google.protobuf.Duration{seconds: 1} == duration(\"1s\")",
        "type(disk) == talos.resource.definitions.block.DiskSpec",
        "talos.resource.definitions.block.DiskSpec{size: 5u} == disk",
        "5 in {5: 1} && \"a\" in [\"a\"] && 5 in [1, \"a\"]",
        "disk.symlinks.map(s, [s])[0][0] == \"a\"",
        "disk.symlinks.all(GB, GB == \"a\")",
        "bool(\"true\") || type(1) == type(\"a\") || int == string",
        "glob(\"a*\", disk.model) == matches(disk.model, \"a\")",
        "disk.secondary_disks.size() == 0 // none",
        "--1 == 1 && !!true",
    ] {
        assert_eq!(check(good, About::Disk), Ok(()), "{good}");
    }
}

/// What it refuses: each function and operator with a type that it does not take.
#[test]
fn wrong_types_say_what_is_taken() {
    for (text, why) in [
        (
            "matches(disk.model, 5)",
            "`matches` does not take string and int; it takes string and string",
        ),
        (
            "has(5)",
            "`has` takes a field of something, as in `has(disk.serial)`",
        ),
        (
            "bool(5)",
            "`bool` does not take int; it takes bool or string",
        ),
        (
            "type(disk.size) == 5",
            "`==` does not go with type (uint) and int",
        ),
        (
            "duration(\"5s\") > 5",
            "`>` does not go with duration and int",
        ),
        (
            "disk.model.size(5) > 1",
            "`size` of a string does not take int; it takes no value",
        ),
        (
            "disk.model.matches(5)",
            "`matches` of a string does not take int; it takes string",
        ),
        (
            "int(b\"a\") == 5",
            "`int` does not take bytes; it takes int, double, duration, string, timestamp or uint",
        ),
        (
            "uint(true) == 5u",
            "`uint` does not take bool; it takes uint, double, int or string",
        ),
        (
            "double(true) == 1.0",
            "`double` does not take bool; it takes double, int, string or uint",
        ),
        (
            "bytes(5) == b\"\"",
            "`bytes` does not take int; it takes bytes or string",
        ),
        (
            "string(disk.symlinks) == \"\"",
            "`string` does not take list of string; it takes string, bool, bytes, double, duration, int, timestamp or uint",
        ),
        (
            "timestamp(5u) > timestamp(5)",
            "`timestamp` does not take uint; it takes timestamp, int or string",
        ),
        (
            "timestamp(\"a\") + timestamp(\"b\") > duration(\"1s\")",
            "`+` does not go with timestamp and timestamp",
        ),
        (
            "duration(\"1s\") * 2 > duration(\"1s\")",
            "`*` does not go with duration and int",
        ),
        ("-disk.size > 1", "`-` does not take a uint"),
        ("5.0 % 2.0 == 1.0", "`%` does not go with double and double"),
        ("\"a\" * 3 == \"\"", "`*` does not go with string and int"),
        (
            "b\"a\" + \"b\" == b\"\"",
            "`+` does not go with bytes and string",
        ),
        ("disk < disk", "`<` does not go with disk and disk"),
        (
            "disk.symlinks > disk.symlinks",
            "`>` does not go with list of string and list of string",
        ),
        (
            "{\"a\": 1} == {1: \"a\"}",
            "`==` does not go with map of string to int and map of int to string",
        ),
        (
            "[1] + [\"a\"] == []",
            "`+` does not go with list of int and list of string",
        ),
        (
            "{\"a\": 1}[5] == 1",
            "`[]` does not go with map of string to int and int",
        ),
        (
            "disk.symlinks[0u] == \"a\"",
            "`[]` does not go with list of string and uint",
        ),
        (
            "\"abc\"[0] == \"a\"",
            "`[]` does not go with string and int",
        ),
        (
            "5 in [\"a\"]",
            "`in` does not go with int and list of string",
        ),
        (
            "\"a\" in \"abc\"",
            "`in` does not go with string and string",
        ),
        (
            "\"a\" in {5: 1}",
            "`in` does not go with string and map of int to int",
        ),
        ("null == 5", "`==` does not go with null and int"),
        ("dyn(true)", "its result is of type dyn and must be bool"),
        (
            "type(5)",
            "its result is of type type (int) and must be bool",
        ),
        ("true ? 1 : 2", "its result is of type int and must be bool"),
        (
            "true ? disk.size : disk.model",
            "`?:` does not go with uint and string",
        ),
        (
            "true ? disk.rotational : 5",
            "`?:` does not go with bool and int",
        ),
        (
            "size()  == 1",
            "`size` does not take no value; it takes bytes, list of dyn, map of dyn to dyn or string",
        ),
        (
            "contains(\"a\", \"b\")",
            "`contains` does not take string and string; it is written behind a value, as in `value.contains(...)`",
        ),
        ("\"a\".glob(\"b\")", "a string has no function `glob`"),
        (
            "glob(\"a\", 5)",
            "`glob` does not take string and int; it takes string and string",
        ),
        (
            "getDate(timestamp(1)) == 1",
            "`getDate` does not take timestamp; it is written behind a value, as in `value.getDate(...)`",
        ),
        (
            "duration(\"1s\").getDate() == 1",
            "a duration has no function `getDate`",
        ),
        (
            "timestamp(1).getHours(5) == 1",
            "`getHours` of a timestamp does not take int; it takes no value or string",
        ),
        ("all(x, true)", "there is no `x`"),
        ("disk.symlinks.all(x)", "there is no `x`"),
        (
            "disk.symlinks.all(1, true)",
            "a number at character 19 does not belong there",
        ),
        (
            "disk.symlinks.filter(x, 5) == []",
            "`filter` does not take an int",
        ),
        (
            "disk.symlinks.map(x, x + 1) == []",
            "`+` does not go with string and int",
        ),
        ("disk.all(x, true)", "a disk has no items for `all`"),
        ("has(disk.nope)", "a disk has no field `nope`"),
        (
            "has(disk.symlinks[0])",
            "`has` takes a field of something, as in `has(disk.serial)`",
        ),
        ("x == 1", "there is no `x`"),
        ("if == 1", "`if` is a word that cannot be used as a name"),
        ("disk.in", "`in` at character 6 does not belong there"),
        (
            "9223372036854775808 == 1",
            "`9223372036854775808` is not a number of 64 bits",
        ),
        ("1e999 > 1.0", "`1e999` is too large"),
        (
            "\"\\q\" == \"\"",
            "the escape at character 2 is none; a backslash is written as `\\\\`",
        ),
        (
            "b\"\\u00e9\" == b\"\"",
            "the escape at character 3 cannot stand in bytes",
        ),
        (
            "\"\\ud800\" == \"\"",
            "the escape at character 2 names no character",
        ),
        (
            "size(\"a\",) == 1",
            "`)` at character 10 does not belong there",
        ),
        (
            "disk.?size == 1u",
            "`?` at character 6 does not belong there",
        ),
        ("disk{} == disk", "`{` at character 5 does not belong there"),
        ("int{} == 1", "`{` at character 4 does not belong there"),
        (
            "google.protobuf.Duration{second: 1} == duration(\"1s\")",
            "a duration has no field `second`",
        ),
        (
            "disk.size > 1 * GB",
            "`*` does not go with int and uint; an unsigned number is written as `100u`",
        ),
        (
            "disk.size > 1.5 * GB",
            "`*` does not go with double and uint; a number becomes unsigned with `uint(1.5)`",
        ),
        (
            "disk.size > 100GB",
            "`>` does not go with uint and int; an unsigned number is written as `100u`",
        ),
        ("not disk.rotational", "there is no `not`"),
        (
            "string(type(1)) == \"int\"",
            "`string` does not take type (int); it takes string, bool, bytes, double, duration, int, timestamp or uint",
        ),
        (
            "disk.symlinks.exists(s, s.startsWith(5))",
            "`startsWith` of a string does not take int; it takes string",
        ),
        ("!-1 == true", "`!` does not take an int"),
    ] {
        assert_eq!(check(text, About::Disk).unwrap_err(), why, "{text}");
    }
    let why = "there is no function `glob`";
    assert_eq!(
        check("glob('a', volume.name)", About::Volume).unwrap_err(),
        why
    );
}
