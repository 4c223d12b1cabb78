//! Keys of gpg, and what is signed with them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::call::{Said, run};
use crate::store::Ground;

/// Keys of a test, and what is signed with them.
#[derive(Debug)]
pub struct Signer {
    /// Where gpg keeps them.
    pub home: PathBuf,
}

impl Signer {
    /// No keys yet.
    ///
    /// # Panics
    /// gpg does not work.
    #[must_use]
    pub fn new(ground: &Ground) -> Self {
        let home = ground.pool.mkdir("keys");
        fs::set_permissions(&home, std::os::unix::fs::PermissionsExt::from_mode(0o700)).expect("it is ours");
        Self { home }
    }

    /// gpg, which asks nothing.
    pub fn gpg(&self, args: &[&str]) -> Said {
        let usual = ["--batch", "--yes", "--quiet", "--pinentry-mode", "loopback", "--passphrase", ""];
        run(Command::new("gpg").env("GNUPGHOME", &self.home).args(usual).args(args)).good()
    }

    /// Fingerprints of a key and its subkeys.
    ///
    /// # Panics
    /// gpg does not work.
    #[must_use]
    pub fn fingerprints(&self, user: &str) -> Vec<String> {
        let listed = self.gpg(&["--with-colons", "--list-keys", user]).out;
        let lines = listed.lines().filter(|line| line.starts_with("fpr:"));
        lines.filter_map(|line| line.split(':').nth(9).map(str::to_owned)).collect()
    }

    /// A key that signs itself.
    ///
    /// # Panics
    /// gpg does not work.
    #[must_use]
    pub fn key(&self, user: &str) -> String {
        self.gpg(&["--quick-gen-key", user, "ed25519", "sign", "never"]);
        self.fingerprints(user).remove(0)
    }

    /// A key that has subkeys for signing, as many vendors do. Returns the key and the first one.
    ///
    /// # Panics
    /// gpg does not work.
    #[must_use]
    pub fn with_subkey(&self, user: &str) -> (String, String) {
        self.gpg(&["--quick-gen-key", user, "ed25519", "cert", "never"]);
        let key = self.fingerprints(user).remove(0);
        (key.clone(), self.add_subkey(&key, "rsa2048"))
    }

    /// Gives a key another subkey that signs.
    ///
    /// # Panics
    /// gpg does not work.
    pub fn add_subkey(&self, key: &str, kind: &str) -> String {
        self.gpg(&["--quick-add-key", key, kind, "sign", "never"]);
        self.fingerprints(key).pop().expect("it was made")
    }

    /// Changes what a key, or its first subkey, may be used for: each of the letters is toggled.
    ///
    /// # Panics
    /// gpg does not work.
    pub fn toggle_usage(&self, key: &str, subkey: bool, letters: &str) {
        let select = if subkey { "key 1\n" } else { "" };
        let toggles: String = letters.chars().map(|letter| format!("{letter}\n")).collect();
        let commands = self.home.join("commands");
        fs::write(&commands, format!("{select}change-usage\n{toggles}Q\nsave\n")).expect("there is room");
        let usual = ["--no-tty", "--yes", "--quiet", "--pinentry-mode", "loopback", "--passphrase", ""];
        let mut edit = Command::new("gpg");
        edit.env("GNUPGHOME", &self.home).args(usual).args(["--command-fd", "0", "--edit-key", key]);
        run(edit.stdin(fs::File::open(commands).expect("it was written"))).good();
    }

    /// Revokes a key, by the certificate that gpg made along with it.
    ///
    /// # Panics
    /// gpg does not work.
    pub fn revoke(&self, key: &str) {
        let certificate = self.home.join(format!("openpgp-revocs.d/{key}.rev"));
        let text =
            fs::read_to_string(&certificate).expect("gpg made it").replace(":-----BEGIN", "-----BEGIN");
        fs::write(&certificate, text).expect("it is ours");
        self.gpg(&["--import", &certificate.to_string_lossy()]);
    }

    /// Public keys, as they are.
    ///
    /// # Panics
    /// gpg does not work.
    #[must_use]
    pub fn binary(&self, users: &[&str]) -> Vec<u8> {
        let file = self.home.join("exported");
        let args = ["--output", &*file.to_string_lossy(), "--export"];
        self.gpg(&[&args[..], users].concat());
        fs::read(file).expect("it was written")
    }

    /// Public keys in armor.
    #[must_use]
    pub fn armored(&self, users: &[&str]) -> String {
        self.gpg(&[&["--armor", "--export"][..], users].concat()).out
    }

    /// Somebody's certificate with another key appended as a subkey of it, and a binding signature that nobody made.
    ///
    /// # Panics
    /// gpg does not work, or exports packets of another form than it used to.
    #[must_use]
    pub fn forged(&self, victim: &str, other: &str) -> Vec<u8> {
        let own = self.binary(&[other]);
        assert_eq!(own[0], 0x99, "a public key whose length has two bytes");
        let end = 3 + usize::from(u16::from_be_bytes([own[1], own[2]]));
        let hex = |at: usize| u8::from_str_radix(&self.fingerprints(victim)[0][at..at + 2], 16);
        let issuer: Vec<u8> = (24..40).step_by(2).map(|at| hex(at).expect("hexadecimal")).collect();
        let binding = [
            // Version 4, a binding, of EdDSA over SHA-256, made when the key was, for signing.
            &[4, 0x18, 22, 8, 0, 9, 5, 2][..],
            &own[4..8],
            &[2, 27, 2, 0, 10, 9, 16],
            &issuer,
            &[0, 0, 0, 8, 0xff, 0, 8, 0xff],
        ]
        .concat();
        let length = u8::try_from(binding.len()).expect("it is short");
        [&self.binary(&[victim]), &[0xb9][..], &own[1..end], &[0x88, length], &binding].concat()
    }

    /// Signs packages with just this key or subkey.
    pub fn sign(&self, key: &str, packages: &[PathBuf]) {
        let mut sign = Command::new("rpmsign");
        sign.env("GNUPGHOME", &self.home).args(["--define", &format!("_gpg_name {key}!")]);
        sign.args(["--define", "__gpg /usr/bin/gpg", "--addsign"]).args(packages);
        run(&mut sign).good();
    }

    /// Signs header and payload of a package together, and nothing else of it, as rpm did before it signed headers. The
    /// signature is tag 1002 (`RPMSIGTAG_PGP`) of the signature header.
    ///
    /// # Panics
    /// gpg does not work, or the package has another form than it used to.
    pub fn sign_whole(&self, key: &str, package: &Path) {
        const LEAD: usize = 96;
        const INTRO: usize = 16;
        const ENTRY: usize = 16;
        let bytes = fs::read(package).expect("it was made");
        let number = |at: usize| u32::from_be_bytes(bytes[at..at + 4].try_into().expect("four bytes"));
        let (count, length) = (number(LEAD + 8), number(LEAD + 12));
        let entries = LEAD + INTRO;
        let store = entries + count as usize * ENTRY;
        let end = store + length as usize;
        let after = &bytes[end.next_multiple_of(8)..];
        let aside = self.home.join("whole");
        fs::write(&aside, after).expect("there is room");
        let signature = self.sign_apart(&[key], &aside, &[]);
        let size = u32::try_from(signature.len()).expect("it is short");
        // The region's trailer is the last of the store: it counts the entries.
        let trailer = store + length as usize - ENTRY;
        assert_eq!(number(entries + 8) as usize, trailer - store, "the trailer of the region is the last");
        let be = |numbers: &[u32]| numbers.iter().flat_map(|one| one.to_be_bytes()).collect::<Vec<u8>>();
        let old = length - 16;
        let region = [&bytes[entries..entries + 8], &be(&[old + size, 16])].concat();
        let negative = (count + 1).wrapping_mul(16).wrapping_neg();
        let mut header = [&bytes[LEAD..LEAD + 8], &be(&[count + 1, length + size]), &region].concat();
        // Entries are in order of what they point to.
        header.extend([&bytes[entries + ENTRY..store], &be(&[1002, 7, old, size])].concat());
        let new = [&bytes[trailer..trailer + 8], &be(&[negative, 16])].concat();
        header.extend([&bytes[store..trailer], &signature, &new].concat());
        header.resize(header.len().next_multiple_of(8), 0);
        fs::write(package, [&bytes[..LEAD], &header, after].concat()).expect("there is room");
    }

    /// Detached signatures of a file, by each of the keys.
    ///
    /// # Panics
    /// gpg does not work.
    #[must_use]
    pub fn sign_apart(&self, keys: &[&str], file: &Path, options: &[&str]) -> Vec<u8> {
        let aside = self.home.join("signature");
        let mut args = vec!["--output".to_owned(), aside.to_string_lossy().into_owned()];
        args.extend(keys.iter().flat_map(|key| ["--local-user".to_owned(), format!("{key}!")]));
        args.extend(options.iter().map(|&option| option.to_owned()));
        args.extend(["--detach-sign".to_owned(), file.to_string_lossy().into_owned()]);
        self.gpg(&args.iter().map(String::as_str).collect::<Vec<_>>());
        fs::read(aside).expect("it was written")
    }
}

impl Drop for Signer {
    fn drop(&mut self) {
        // Agents would stay behind.
        run(Command::new("gpgconf").env("GNUPGHOME", &self.home).args(["--kill", "all"]));
    }
}
