//! `xl` as a child process, with a script in its place that prints what the real one prints.

use std::path::Path;
use std::time::{Duration, Instant};

use fades_xen_toolstack::config::{CommandLine, FilePath, Memory};
use fades_xen_toolstack::{DomainConfig, DomainName, End, Monitor, Reason, Xl, XlError};

const SCRIPT: &str = r#"#!/bin/sh
echo "$@" >> "${0%/*}/calls"
env | grep -v '^_=\|^PWD=\|^SHLVL=\|^OLDPWD=' | sort >> "${0%/*}/environment"
case "$1" in
info) printf 'xen_major : 4\nxen_minor : 17\nfree_memory : 12\nxen_caps : hvm-3.0-x86_64\n' ;;
list) printf 'Name    ID   Mem VCPUs\tState\tTime(s)\n'
      printf 'Domain-0  0  1024  2  r-----  4.2\n'
      printf 'fades-0f-a  5  64  1  -b----  0.2\n' ;;
destroy) case "$2" in
    fades-0f-a) ;;
    *) echo "$2 is an invalid domain identifier (rc=-6)" >&2; exit 1 ;;
    esac ;;
create) grep -q 'name="fades-0f-a"' "$5" || exit 9
      echo 'Waiting for domain fades-0f-a (domid 5) to die [pid 1]' >&2
      echo 'Domain 5 has shut down, reason code 3 0x3' >&2 ;;
esac
"#;

/// Another process writes the program: a test beside this one may fork while a file is open here to be written, and its
/// child would keep it from being run.
fn stand_in(folder: &Path, script: &str) -> Xl {
    let (source, program) = (folder.join("text"), folder.join("xl"));
    std::fs::write(&source, script).expect("written");
    let mut install = std::process::Command::new("install");
    assert!(install.args(["-m", "700"]).arg(&source).arg(&program).status().expect("run").success());
    Xl::at(program)
}

fn config(name: &DomainName) -> DomainConfig {
    DomainConfig {
        name: name.clone(),
        uuid: None,
        kernel: FilePath::new("/k").expect("a path"),
        ramdisk: None,
        command_line: CommandLine::new("").expect("a line"),
        memory: Memory::mib(64).expect("a size"),
        network: None,
    }
}

#[test]
fn commands_are_run_bare_and_understood() {
    let folder = tempfile::tempdir().expect("a folder");
    let xl = stand_in(folder.path(), SCRIPT);
    let info = xl.info().expect("info");
    assert_eq!((info.version, info.free_mib, info.has_hvm()), ((4, 17), 12, true));
    let listed = xl.list().expect("a list");
    assert_eq!(
        listed.iter().map(|domain| domain.name.as_str()).collect::<Vec<_>>(),
        ["Domain-0", "fades-0f-a"]
    );
    let ours = DomainName::new("fades-0f-a").expect("a name");
    assert!(xl.destroy(&ours).expect("destroyed"));
    assert!(!xl.destroy(&DomainName::new("fades-0f-gone").expect("a name")).expect("not there"));

    let file = folder.path().join("config");
    std::fs::write(&file, config(&ours).text()).expect("written");
    let file = FilePath::new(file.to_str().expect("text")).expect("a path");
    let (status, end) =
        Monitor::spawn(xl.create(&file)).expect("started").wait(None).expect("ended").expect("in time");
    assert_eq!((status.code(), end), (Some(0), End::ShutDown(Reason::Crash)));

    let calls = std::fs::read_to_string(folder.path().join("calls")).expect("calls");
    let expected = format!("info\nlist\ndestroy fades-0f-a\ndestroy fades-0f-gone\ncreate -F -q -f {file}\n");
    assert_eq!(calls, expected);
    let environment = std::fs::read_to_string(folder.path().join("environment")).expect("environment");
    for line in environment.lines() {
        assert!(line == "LC_ALL=C" || line.starts_with("PATH=/usr/local/sbin:"), "{line}");
    }
}

#[test]
fn failures_have_words() {
    let folder = tempfile::tempdir().expect("a folder");
    let slow =
        stand_in(folder.path(), "#!/bin/sh\nexec sleep 60\n").with_patience(Duration::from_millis(200));
    let asked = Instant::now();
    assert_eq!(slow.info().expect_err("slow").to_string(), "xl info took longer than 200 ms");
    assert!(asked.elapsed() < Duration::from_secs(10));
    let failing =
        stand_in(folder.path(), "#!/bin/sh\necho out; printf 'first\\nlast words\\n\\n' >&2; exit 4\n");
    assert_eq!(failing.list().expect_err("fails").to_string(), "xl list failed: last words");
    let silent = stand_in(folder.path(), "#!/bin/sh\nexit 4\n");
    assert_eq!(silent.list().expect_err("fails").to_string(), "xl list failed: exit status: 4");
    let nonsense = stand_in(folder.path(), "#!/bin/sh\necho hello\n");
    assert_eq!(nonsense.list().expect_err("fails").to_string(), "output of xl list has no head line");
    assert_eq!(nonsense.info().expect_err("fails").to_string(), "output of xl info has no xen_major");
    let missing = Xl::at(folder.path().join("nothing"));
    assert!(matches!(missing.info(), Err(XlError::Run { .. })));
}

#[test]
fn a_domain_that_is_not_built_says_why() {
    let folder = tempfile::tempdir().expect("a folder");
    let xl = stand_in(folder.path(), SCRIPT);
    let config = config(&DomainName::new("fades-0f-a").expect("a name"));
    let said = |output: &str| xl.refusal(&config, output).to_string();
    assert_eq!(
        said("failed to free memory for the domain\n"),
        "no memory for domain fades-0f-a: it wants 64 MiB, the host has 12 MiB free"
    );
    assert_eq!(
        said(
            "/proc/self/fd/5:3: config parsing error near `x': syntax error\nFailed to parse config: Invalid argument\n"
        ),
        "xl refuses the configuration of domain fades-0f-a: /proc/self/fd/5:3: config parsing error near `x': syntax error"
    );
    assert_eq!(
        said(
            "xc: error: panic: image not capable of booting\nlibxl: error: Domain 7:cannot (re-)build domain: -3\n"
        ),
        "xl create of domain fades-0f-a failed: xc: error: panic: image not capable of booting"
    );
}
