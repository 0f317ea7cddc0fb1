//! The program with streams and folders that are not as usual.

use std::fs::File;
use std::io::Write;
use std::process::{Command, Stdio};

const LOG: &str = "Early memory node ranges\n  node   0: [mem 0x0000000040000000-0x00000000bfffffff]\nEarly memory node ranges\n  node   0: [mem 0x00000000400zz000-0x00000000bfffffff]\n";

fn sparsemem(words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sparsemem"));
    command.args(words).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// The exit status and the output, for a log on standard input.
fn run(mut command: Command) -> (Option<i32>, String, String) {
    let mut child = command.spawn().unwrap();
    // The program may end without reading it.
    let _ = child.stdin.take().unwrap().write_all(LOG.as_bytes());
    let ended = child.wait_with_output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (ended.status.code(), text(ended.stdout), text(ended.stderr))
}

/// A disk that is full must not turn an answer into a crash.
#[test]
fn remarks_that_nobody_takes_change_no_answer() {
    for words in [&["inspect", "-", "--backend", "flat", "--format", "json"][..], &["inspect", "no-such.log"]]
    {
        let usual = run(sparsemem(words));
        assert!(!usual.2.is_empty(), "{words:?} has a remark");
        let mut command = sparsemem(words);
        command.stderr(File::options().write(true).open("/dev/full").unwrap());
        let full = run(command);
        assert_eq!((full.0, full.1), (usual.0, usual.1), "{words:?}");
    }
}

#[test]
fn standard_input_is_one_map() {
    let (code, _, error) = run(sparsemem(&["compare", "-", "-"]));
    assert_eq!(code, Some(2));
    assert!(error.contains("standard input has one map only"), "{error}");
}

#[test]
fn the_folder_of_the_manual_is_made() {
    let folder = std::env::temp_dir().join(format!("sparsemem-man-{}", std::process::id()));
    let (code, _, error) = run(sparsemem(&["man", folder.join("share/man1").to_str().unwrap()]));
    let made = folder.join("share/man1/sparsemem-inspect.1").is_file();
    std::fs::remove_dir_all(&folder).unwrap();
    assert_eq!((code, made), (Some(0), true), "{error}");
}
