//! Configurations: what is written is what a reader of the same language gets, and nothing else goes in.

use std::collections::BTreeMap;

use fades_xen_toolstack::config::*;
use fades_xen_toolstack::{DomainConfig, DomainName};
use proptest::option;
use proptest::prelude::*;

/// A value of xl's language.
#[derive(Debug, PartialEq)]
enum Value {
    Text(String),
    Number(u64),
    List(Vec<String>),
}

/// Text in quotes at the front of `rest`, by xl's rules: either quote opens, the same closes, a backslash escapes.
fn quoted(rest: &str) -> (String, &str) {
    let quote = rest.chars().next().expect("a value");
    assert!("\"'".contains(quote), "a quote opens {rest:?}");
    let mut text = String::new();
    let mut chars = rest.char_indices().skip(1);
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' => text.push(chars.next().expect("something escaped").1),
            '\n' => panic!("a line ends inside of quotes"),
            c if c == quote => return (text, &rest[at + 1..]),
            c => text.push(c),
        }
    }
    panic!("quotes stay open")
}

fn parse(text: &str) -> BTreeMap<String, Value> {
    let mut values = BTreeMap::new();
    for line in text.lines() {
        let (key, rest) = line.split_once('=').expect("key=value");
        assert!(key.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'), "{key:?}");
        let value = if let Some(mut rest) = rest.strip_prefix('[') {
            let mut list = Vec::new();
            while !rest.starts_with(']') {
                let (item, behind) = quoted(rest.trim_start_matches([',', ' ']));
                list.push(item);
                rest = behind;
            }
            assert_eq!(rest, "]");
            Value::List(list)
        } else if let Ok(number) = rest.parse() {
            Value::Number(number)
        } else {
            let (text, behind) = quoted(rest);
            assert_eq!(behind, "", "nothing behind a value");
            Value::Text(text)
        };
        assert!(values.insert(key.to_owned(), value).is_none(), "{key} twice");
    }
    values
}

fn configs() -> impl Strategy<Value = DomainConfig> {
    let path = || "/[A-Za-z0-9_/-]{1,60}".prop_map(|path| FilePath::new(&path).expect("a path"));
    let network =
        (any::<[u8; 5]>(), option::of("[a-z][a-z0-9.-]{0,14}"), path()).prop_map(|(rest, name, script)| {
            let [a, b, c, d, e] = rest;
            Network {
                mac: Mac::new([2, a, b, c, d, e]).expect("an address"),
                interface: name.map(|name| InterfaceName::new(&name).expect("a name")),
                script,
            }
        });
    (
        "[a-z0-9][a-z0-9-]{0,39}",
        option::of(any::<[u8; 16]>().prop_map(Uuid)),
        path(),
        option::of(path()),
        "[ !#-&(-\\[\\]-~]{0,200}",
        8..1_048_577u32,
        option::of(network),
    )
        .prop_map(|(name, uuid, kernel, ramdisk, line, memory, network)| DomainConfig {
            name: DomainName::new(&name).expect("a name"),
            uuid,
            kernel,
            ramdisk,
            command_line: CommandLine::new(&line).expect("a command line"),
            memory: Memory::mib(memory).expect("a size"),
            network,
        })
}

proptest! {
    #[test]
    fn what_is_written_is_what_is_read(config in configs()) {
        let mut values = parse(&config.text());
        let mut text = |key: &str| match values.remove(key) {
            Some(Value::Text(text)) => Some(text),
            None => None,
            other => panic!("{key}: {other:?}"),
        };
        let own = |text: &str| Some(text.to_owned());
        prop_assert_eq!(text("type"), own("pvh"));
        prop_assert_eq!(text("name"), own(config.name.as_str()));
        prop_assert_eq!(text("uuid"), config.uuid.map(|uuid| uuid.to_string()));
        prop_assert_eq!(text("kernel"), own(config.kernel.as_str()));
        prop_assert_eq!(text("ramdisk"), config.ramdisk.as_ref().map(ToString::to_string));
        prop_assert_eq!(text("cmdline"), own(config.command_line.as_str()));
        for event in ["on_poweroff", "on_reboot", "on_watchdog", "on_crash", "on_soft_reset"] {
            prop_assert_eq!(text(event), own("destroy"));
        }
        let memory = Value::Number(config.memory.get().into());
        prop_assert_eq!(values.remove("memory"), Some(Value::Number(config.memory.get().into())));
        prop_assert_eq!(values.remove("maxmem"), Some(memory));
        prop_assert_eq!(values.remove("vcpus"), Some(Value::Number(1)));
        prop_assert_eq!(values.remove("maxvcpus"), Some(Value::Number(1)));
        if let Some(network) = &config.network {
            let Some(Value::List(list)) = values.remove("vif") else { panic!("no vif") };
            prop_assert_eq!(list.len(), 1);
            let mut pairs: BTreeMap<_, _> = list[0].split(',').map(|pair| pair.split_once('=').expect("a pair")).collect();
            let mac = network.mac.to_string();
            prop_assert_eq!(pairs.remove("mac"), Some(mac.as_str()));
            prop_assert_eq!(pairs.remove("script"), Some(network.script.as_str()));
            prop_assert_eq!(pairs.remove("vifname"), network.interface.as_ref().map(InterfaceName::as_str));
            prop_assert!(pairs.is_empty());
        }
        prop_assert!(values.is_empty(), "more than was asked for: {:?}", values);
    }

    /// Whatever text a value is made of: if it is taken, it has nothing that the language gives a meaning.
    #[test]
    fn no_value_has_a_meaning_of_its_own(text in "\\PC{0,40}|[ -~\\n\\r\\t\\x00]{0,40}") {
        for taken in [
            FilePath::new(&text).map(|value| value.to_string()),
            CommandLine::new(&text).map(|value| value.to_string()),
            InterfaceName::new(&text).map(|value| value.to_string()),
        ] {
            match taken {
                Ok(taken) => {
                    prop_assert_eq!(&taken, &text);
                    let harmless = !text.contains(['"', '\'', '\\', '\n', '\r', '\0']);
                    prop_assert!(harmless, "{}", text);
                }
                Err(error) => prop_assert!(matches!(error, ConfigError::Value { .. }), "{}", error),
            }
        }
    }
}

#[test]
fn refusals_name_the_value() {
    let said = |result: Result<(), ConfigError>| result.expect_err("refused").to_string();
    assert!(said(FilePath::new("relative").map(drop)).starts_with("path \"relative\" is not absolute"));
    for path in ["/a b", "/a\"", "/a=b", "/a,b", "/../etc/passwd", "/a/..", "/a\n", ""] {
        assert!(FilePath::new(path).is_err(), "{path}");
    }
    assert!(FilePath::new("/a..b/.c").is_ok());
    assert!(
        said(CommandLine::new("a \"b\"").map(drop)).starts_with("command line \"a \\\"b\\\"\" has quotes")
    );
    assert!(CommandLine::new(&"x".repeat(2001)).is_err() && CommandLine::new("").is_ok());
    assert_eq!(said(Memory::mib(7).map(drop)), "memory of 7 is not 8 to 1048576");
    assert!(Mac::new([1, 0, 0, 0, 0, 1]).is_err() && Mac::new([0; 6]).is_err());
    assert!(InterfaceName::new("vif12345678.0").is_ok() && InterfaceName::new("0vif").is_err());
    assert!(InterfaceName::new(&"v".repeat(16)).is_err());
}

/// The whole text once, so that a reader sees it.
#[test]
fn a_configuration() {
    let config = DomainConfig {
        name: DomainName::new("fades-0f-dmf-7").expect("a name"),
        uuid: Some(Uuid(*b"\x01\x23\x45\x67\x89\xab\xcd\xef\x01\x23\x45\x67\x89\xab\xcd\xef")),
        kernel: FilePath::new("/proc/self/fd/5").expect("a path"),
        ramdisk: Some(FilePath::new("/proc/self/fd/6").expect("a path")),
        command_line: CommandLine::new("-ip 10.0.0.2 env=FADES_ROLE=dmf").expect("a command line"),
        memory: Memory::mib(64).expect("a size"),
        network: Some(Network {
            mac: Mac::new([2, 0, 0, 0, 0, 7]).expect("an address"),
            interface: None,
            script: FilePath::new("/bin/true").expect("a path"),
        }),
    };
    let expected = r#"type="pvh"
name="fades-0f-dmf-7"
uuid="01234567-89ab-cdef-0123-456789abcdef"
kernel="/proc/self/fd/5"
ramdisk="/proc/self/fd/6"
cmdline="-ip 10.0.0.2 env=FADES_ROLE=dmf"
on_poweroff="destroy"
on_reboot="destroy"
on_watchdog="destroy"
on_crash="destroy"
on_soft_reset="destroy"
memory=64
maxmem=64
vcpus=1
maxvcpus=1
vif=["mac=02:00:00:00:00:07,script=/bin/true"]
"#;
    assert_eq!(config.text(), expected);
}
