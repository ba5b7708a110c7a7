//! Where Talos is installed, which registries and disks there are.

use super::super::Mode;
use super::super::at::At;
use super::super::finding::Findings;
use super::requires_install;

pub(super) fn check(machine: &At<'_>, mode: Mode, findings: &mut Findings) {
    let install = machine.get("install");
    if requires_install(mode) {
        target(&install, findings);
    }
    extensions(&install.get("extensions"), findings);
    for disk in machine.get("disks").items() {
        partitions(&disk, findings);
    }
}

fn target(install: &At<'_>, findings: &mut Findings) {
    if !install.is_set() {
        install.error(
            findings,
            "the section about the installation is missing, which servers of metal need",
            "write `install: {disk: /dev/sda}`",
        );
        return;
    }
    let selector = install.get("diskSelector");
    if selector.get("name").has_text() {
        selector.get("name").error(
            findings,
            "a disk cannot be selected by its name",
            "use `serial`, `wwid`, `uuid` or `busPath`, or `.machine.install.disk`",
        );
    }
    let kind = selector.get("type");
    super::choice(&kind, &["ssd", "hdd", "nvme", "sd"], findings);
    if !install.get("disk").has_text() && !selector.is_set() {
        install.get("disk").error(
            findings,
            "neither a disk nor a disk selector (`.machine.install.diskSelector`) says where to install",
            "write `disk: /dev/sda` or `diskSelector: {size: '>= 100GB'}`",
        );
    }
}

fn extensions(list: &At<'_>, findings: &mut Findings) {
    let items = list.items();
    for (index, item) in items.iter().enumerate() {
        let image = item.get("image");
        if items[..index]
            .iter()
            .any(|other| other.get("image").text() == image.text())
        {
            let message = format!("the system extension `{}` is there twice", image.text());
            image.error(findings, message, "take one of the two out");
        }
    }
    if !items.is_empty() {
        list.warn(
            findings,
            "extensions of the installer are outdated",
            "take an image of the image factory that has the extensions",
        );
    }
}

fn partitions(disk: &At<'_>, findings: &mut Findings) {
    let partitions = disk.get("partitions").items();
    for size in partitions.iter().map(|partition| partition.get("size")) {
        if size.is_set() && !size.has_text() {
            size.error(
                findings,
                "the size is empty",
                "write it as `100GB`, or take it out",
            );
        }
    }
    let Some((_, before_last)) = partitions.split_last() else {
        return;
    };
    for partition in before_last {
        let size = partition.get("size");
        if super::super::forms::size(size.text()).unwrap_or(0) == 0 {
            let message = format!(
                "this partition would take the rest of `{}`, and it is not the last one",
                disk.get("device").text()
            );
            size.error(findings, message, "give it a size, or put it last");
        }
    }
}
