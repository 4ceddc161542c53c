//! Processes and disks.

#[cfg(target_os = "linux")]
use std::fs;
use std::path::Path;
#[cfg(target_os = "linux")]
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

/// Runs one ignored test of this program in a process of its own, on this store and address.
pub(crate) fn start_process(test: &str, root: &Path, url: &str) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--ignored", "--nocapture"])
        .env("ISOVEC_TEST_ROOT", root)
        .env("ISOVEC_TEST_URL", url)
        // Its own report would be taken for that of this process; a panic goes to standard error.
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
}

/// A disk in memory, for as long as this lives.
#[cfg(target_os = "linux")]
pub(crate) struct SmallDisk(PathBuf);

#[cfg(target_os = "linux")]
impl SmallDisk {
    /// Nothing if this user may not mount one.
    pub(crate) fn mount(folder: &Path, size: &str) -> Option<Self> {
        fs::create_dir_all(folder).unwrap();
        let options = format!("size={size}");
        let mount = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &options, "isovec-test"])
            .arg(folder)
            .output();
        mount.is_ok_and(|output| output.status.success()).then(|| SmallDisk(folder.to_owned()))
    }

    pub(crate) fn resize(&self, size: &str) {
        let options = format!("remount,size={size}");
        let mount = Command::new("mount").args(["-o", &options]).arg(&self.0).status().unwrap();
        assert!(mount.success(), "the disk could not be resized");
    }
}

#[cfg(target_os = "linux")]
impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily, for the test may have failed with a file open. A failure leaves an empty mount.
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}
