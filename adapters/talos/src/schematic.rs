//! The image factory's schematics: what an image is customized with, as the factory writes it, and the id that follows. Asks nobody.

use ztc_adapter_sdk::protocol::sha256_hex;

use crate::problem::Problem;
use crate::yaml;

/// What an image is made from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Schematic {
    /// 64 hexadecimal digits.
    pub(crate) id: String,
    /// The text whose digest the id is; nothing where only the id is known, or where every factory has it already.
    pub(crate) text: Option<String>,
}

impl Schematic {
    /// One that somebody registered at the factory.
    pub(crate) fn known(id: &str) -> Self {
        Self {
            id: id.to_owned(),
            text: None,
        }
    }

    /// The one of these customizations. Their order counts.
    pub(crate) fn of(extensions: &[String], kernel_args: &[String]) -> Self {
        let text = text(extensions, kernel_args);
        let id = sha256_hex(text.as_bytes());
        let is_plain = extensions.is_empty() && kernel_args.is_empty();
        Self {
            id,
            text: (!is_plain).then_some(text),
        }
    }
}

/// Four spaces a level, empty parts left out: the factory hashes exactly this.
fn text(extensions: &[String], kernel_args: &[String]) -> String {
    if extensions.is_empty() && kernel_args.is_empty() {
        return "customization: {}\n".into();
    }
    let mut text = String::from("customization:\n");
    let mut list = |heading: &str, indent: &str, items: &[String]| {
        if !items.is_empty() {
            text.push_str(heading);
            for item in items {
                text.push_str(&format!("{indent}- {item}\n"));
            }
        }
    };
    list("    extraKernelArgs:\n", "        ", kernel_args);
    list(
        "    systemExtensions:\n        officialExtensions:\n",
        "            ",
        extensions,
    );
    text
}

/// Checks the name of an official extension.
pub(crate) fn check_extension(name: &str) -> Result<(), Problem> {
    let plain = |part: &str| {
        !part.is_empty()
            && part
                .chars()
                .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "-_.".contains(c))
    };
    if name
        .split_once('/')
        .is_some_and(|(owner, name)| plain(owner) && plain(name))
    {
        return Ok(());
    }
    Err(Problem::new(
        format!("`{name}` is not the name of a system extension"),
        "write it as `siderolabs/qemu-guest-agent`; https://github.com/siderolabs/extensions lists them",
    ))
}

/// Checks an argument of the kernel: one whose text needs no quotes, for those would be a part of the factory's digest.
pub(crate) fn check_kernel_arg(argument: &str) -> Result<(), Problem> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._=,/:+-".contains(c);
    let good = argument.starts_with(|c: char| c.is_ascii_alphabetic() || c == '-')
        && argument.chars().all(plain)
        && !argument.ends_with(':')
        && !yaml::scalar(argument).starts_with('"')
        && argument != "-";
    if good {
        return Ok(());
    }
    Err(Problem::new(
        format!("`{argument}` cannot be an argument of the kernel here"),
        "write one argument an item, such as `net.ifnames=0`; for others make a schematic at the image factory and give its `schematic_id`",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(extensions: &[&str], kernel_args: &[&str], text: &str, id: &str) {
        let owned = |texts: &[&str]| texts.iter().map(|&text| text.into()).collect::<Vec<_>>();
        let (extensions, kernel_args) = (owned(extensions), owned(kernel_args));
        assert_eq!(super::text(&extensions, &kernel_args), text);
        assert_eq!(Schematic::of(&extensions, &kernel_args).id, id);
    }

    #[test]
    fn ids_are_those_of_the_factory() {
        check(
            &[],
            &[],
            "customization: {}\n",
            "376567988ad370138ad8b2698212367b8edcb69b5fd68c80be1f2ec7d603b4ba",
        );
        check(
            &["siderolabs/qemu-guest-agent"],
            &[],
            "customization:\n    systemExtensions:\n        officialExtensions:\n            - siderolabs/qemu-guest-agent\n",
            "ce4c980550dd2ab1b17bbf2b08801c7eb59418eafe8f279833297925d67c7515",
        );
    }

    #[test]
    fn kernel_arguments_come_before_extensions() {
        let schematic = Schematic::of(&["siderolabs/a".into()], &["console=ttyS0,115200".into()]);
        assert_eq!(
            schematic.text.unwrap(),
            "customization:\n    extraKernelArgs:\n        - console=ttyS0,115200\n    systemExtensions:\n        officialExtensions:\n            - siderolabs/a\n"
        );
    }

    #[test]
    fn names_and_arguments_have_a_form() {
        for name in ["siderolabs/qemu-guest-agent", "siderolabs/i915"] {
            assert_eq!(check_extension(name), Ok(()));
        }
        for name in ["qemu-guest-agent", "a/b/c", "/a", "A/b", "a/b c"] {
            assert!(check_extension(name).is_err(), "{name}");
        }
        for argument in ["net.ifnames=0", "-console", "console=ttyS0,115200", "quiet"] {
            assert_eq!(check_kernel_arg(argument), Ok(()), "{argument}");
        }
        for argument in ["", "-", "a b", "on", "a#b", "12", "a:", "\"a\""] {
            assert!(check_kernel_arg(argument).is_err(), "{argument}");
        }
    }
}
