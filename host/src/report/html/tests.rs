//! The page of a report.

use super::*;
use crate::report::model::Attempt;

fn hostile() -> RunReport {
    let line = "</script></pre><img src=x onerror=alert(1)> & \"quoted\" 'single'";
    let task = TaskReport {
        task: "install[cp\"1]".into(),
        item: Some("cp\"1".into()),
        status: Status::Failed,
        why: Some(line.into()),
        seconds: Some(2.5),
        attempts: vec![Attempt {
            number: 1,
            start: 1.0,
            end: 3.5,
            status: Status::Failed,
            failure: Some(line.into()),
        }],
        failure: Some(crate::pipeline::event::TaskFailure {
            status: line.into(),
            cause: Some(line.into()),
            last_lines: vec![line.into()],
            code: None,
        }),
        log: Some(Log {
            path: line.into(),
            bytes: Some(100),
            left_out: 10,
            parts: vec![line.into(), line.into()],
        }),
        required: true,
        usual: None,
    };
    RunReport {
        run: line.into(),
        environment: line.into(),
        host: line.into(),
        began: line.into(),
        ztc_version: line.into(),
        status: Status::Failed,
        seconds: 4.0,
        resume: Some(line.into()),
        eject: Some(line.into()),
        stages: vec![StageReport {
            stage: line.into(),
            adapter: line.into(),
            description: line.into(),
            item: Some(line.into()),
            needs: vec![line.into()],
            reaches: vec![line.into()],
            barrier: Some(line.into()),
            status: Status::Failed,
            tasks: vec![task],
            ..StageReport::default()
        }],
        ..RunReport::default()
    }
}

#[test]
fn nothing_that_a_run_printed_is_markup() {
    let page = html(&hostile());
    assert!(
        !page.contains("<img") && !page.contains("onerror=alert(1)>"),
        "{page}"
    );
    assert_eq!(page.matches("</script>").count(), 1);
    assert_eq!(page.matches("<script>").count(), 1);
    assert!(page.contains("&lt;/script&gt;&lt;/pre&gt;&lt;img src=x onerror=alert(1)&gt; &amp; &quot;quoted&quot; &#39;single&#39;"));
    for tag in [
        "details", "summary", "div", "section", "pre", "p", "span", "svg", "a",
    ] {
        let opened =
            page.matches(&format!("<{tag}>")).count() + page.matches(&format!("<{tag} ")).count();
        assert_eq!(opened, page.matches(&format!("</{tag}>")).count(), "{tag}");
    }
}

#[test]
fn the_page_needs_no_network() {
    let page = html(&hostile());
    for outside in ["http://", "https://", "@import", "url(", "<link", "src="] {
        let found: Vec<&str> = page
            .match_indices(outside)
            .map(|(at, _)| &page[at..(at + 40).min(page.len())])
            .filter(|found| {
                !found.starts_with("url(#ztc-tip)") && !found.starts_with("src=x onerror")
            })
            .collect();
        assert_eq!(found, Vec::<&str>::new());
    }
}

#[test]
fn places_have_names_that_a_link_can_hold() {
    for (name, expected) in [
        ("install_talos", "task-install_talos"),
        ("install_talos[cp-01.a]", "task-install_talos.cp-01.a"),
        ("a b\"<", "task-a~20b~22~3c"),
    ] {
        assert_eq!(anchor("task", name), expected);
    }
}

#[test]
fn a_log_that_was_cut_says_where_the_whole_one_is() {
    let text = log(&Log {
        path: "runs/a.log".into(),
        bytes: Some(900),
        left_out: 810,
        parts: vec!["head\n".into(), "tail\n".into()],
    });
    assert_eq!(
        text,
        "<pre tabindex=\"0\">head\n</pre>\n<p class=\"left-out\">810 bytes are left out here; the whole log is <code>runs/a.log</code></p>\n<pre tabindex=\"0\">tail\n</pre>\n"
    );
}
