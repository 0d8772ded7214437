//! The status page in a real Chromium: what it looks like in calm and in overload, on a phone and in the dark, and that what
//! strangers type or send does nothing there.
//!
//! ```console
//! $ cargo test --test status_page -- --ignored
//! ```
//!
//! leaves screenshots in `target/status-page/`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::disallowed_methods, reason = "a test program")]

mod support;

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::thread;
use std::time::Duration;

use support::*;

/// A browser with a profile of its own.
struct Browser {
    program: PathBuf,
    scratch: Scratch,
}

/// What a browser made of a page.
struct Seen {
    /// The document, after whatever ran in it.
    document: String,
    /// What its console says.
    console: String,
}

#[derive(Clone, Copy, PartialEq)]
enum Scheme {
    Light,
    Dark,
}

impl Browser {
    fn new() -> Self {
        Self { program: installed(&["/usr/bin/chromium"], "chromium"), scratch: Scratch::new("chromium") }
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        // A container has no user namespaces for its sandbox; all it opens is ours.
        command.args([
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--hide-scrollbars",
        ]);
        command.args(["--enable-logging=stderr", "--timeout=20000"]);
        command.arg(format!("--user-data-dir={}", self.scratch.join("profile").display()));
        command
    }

    fn look(&self, address: &str) -> Seen {
        let output = run(self.command().args(["--virtual-time-budget=2000", "--dump-dom", address]));
        let text = |octets: &[u8]| String::from_utf8_lossy(octets).into_owned();
        let console = text(&output.stderr);
        let console = console.lines().filter(|line| line.contains("CONSOLE")).map(|line| format!("{line}\n")).collect();
        Seen { document: text(&output.stdout), console }
    }

    /// A screenshot in target/status-page.
    fn screenshot(&self, address: &str, name: &str, size: (u32, u32), scheme: Scheme) -> Vec<u8> {
        let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("target/status-page");
        fs::create_dir_all(&folder).unwrap();
        let file = folder.join(format!("{name}.png"));
        fs::remove_file(&file).ok();
        let mut command = self.command();
        if scheme == Scheme::Dark {
            command.arg("--blink-settings=preferredColorScheme=0");
        }
        command.arg(format!("--window-size={},{}", size.0, size.1)).arg(format!("--screenshot={}", file.display()));
        run(command.arg(address));
        fs::read(&file).unwrap()
    }

    /// How wide a page is, in a frame of this width.
    fn width_in(&self, page: &str, frame: u32) -> u32 {
        let page = page.replace("<meta http-equiv=\"refresh\" content=\"10\">", "");
        // In a string of a script, no tag may end it.
        let source = serde_json::to_string(&page).unwrap().replace("</", "<\\/");
        let wrapper = format!(
            "<!DOCTYPE html><iframe id=f width={frame} height=2000 frameborder=0></iframe><p id=w></p><script>
            f.onload = () => {{ w.textContent = 'width=' + f.contentDocument.documentElement.scrollWidth + ';' }};
            f.srcdoc = {source};</script>"
        );
        let file = self.scratch.write("frame.html", wrapper);
        let seen = self.look(&format!("file://{}", file.display()));
        let width = seen.document.split("width=").find_map(|rest| rest.split_once(';')?.0.parse().ok());
        width.unwrap_or_else(|| panic!("{}\n{}", seen.console, seen.document))
    }
}

fn start(purpose: &str, settings: &str) -> (Scratch, Installation, Daemon, Site, String) {
    let scratch = Scratch::new(purpose);
    let installation = Installation::new(&scratch);
    let port = free_port();
    let http = format!("[http]\nlisten = \"inet:{port}@127.0.0.1\"\n{settings}");
    let daemon = installation.start_listening(&scratch, &http);
    let site = Site::at_port(port);
    site.wait();
    (scratch, installation, daemon, site, format!("http://127.0.0.1:{port}"))
}

fn send(daemon: &Daemon, client: &str, author: &str) {
    let mut dialogue = Dialogue::open_from(daemon.socket(), client);
    dialogue.mail("4PAGE").unwrap();
    dialogue.content("4PAGE", &[("From", author), ("Subject", " x")], b"Hello.\r\n").unwrap();
    dialogue.quit();
}

fn signed_author() -> &'static str {
    FIELDS.iter().find(|(name, _)| *name == "From").unwrap().1
}

#[test]
#[ignore = "needs Debian's package chromium; tests/run-all installs it"]
fn the_page_shows_a_calm_day_in_light_in_the_dark_and_on_a_phone() {
    let (browser, (_scratch, _installation, daemon, site, address)) = (Browser::new(), start("page-calm", ""));
    for _ in 0..5 {
        send(&daemon, "127.0.0.1", signed_author());
    }
    send(&daemon, "127.0.0.1", " a@unknown.example");
    send(&daemon, "192.0.2.1", signed_author());
    let seen = browser.look(&address);
    for shown in ["<h1 class=\"mood good\" id=\"mood\">Signing</h1>", "No key", "Not trusted", "Limits, and how near"] {
        assert!(seen.document.contains(shown), "{shown}\n{}", seen.document);
    }
    // Nothing was refused: the style is allowed by its digest, and there is nothing else.
    assert_eq!(seen.console, "");
    let light = browser.screenshot(&address, "light", (1200, 1400), Scheme::Light);
    let dark = browser.screenshot(&address, "dark", (1200, 1400), Scheme::Dark);
    assert!(light != dark && light.len() > 10_000 && dark.len() > 10_000);
    browser.screenshot(&address, "phone", (500, 2400), Scheme::Light);

    let domain = signed_author().trim().rsplit_once('@').unwrap().1.trim_end_matches('>');
    for page in ["/".to_owned(), format!("/search?q={domain}"), format!("/search?q={}", "x".repeat(250))] {
        let page = site.get(&page).body;
        for frame in [320, 360, 768, 1280] {
            let width = browser.width_in(&page, frame);
            assert!(width <= frame, "{width} in {frame}");
        }
    }
}

#[test]
#[ignore = "needs Debian's package chromium; tests/run-all installs it"]
fn the_page_says_overload_while_mail_is_deferred() {
    let settings = "[limits]\nsigning_threads = 1\nsigning_queue = 1\nqueue_deadline = \"1ms\"\n";
    let (browser, (_scratch, _installation, daemon, site, address)) = (Browser::new(), start("page-busy", settings));
    thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| (0..20).for_each(|_| send(&daemon, "127.0.0.1", signed_author())));
        }
    });
    let deferred = site.metric("waxseal_messages_total{action=\"defer\",reason=\"overload\"}").unwrap();
    assert!(deferred > 0.0);
    let seen = browser.look(&address);
    assert!(seen.document.contains("<h1 class=\"mood bad\" id=\"mood\">Overloaded</h1>"), "{}", seen.document);
    assert!(seen.document.contains("Overload <span class=\"tag defer\">deferred</span>"), "{}", seen.document);
    browser.screenshot(&address, "overload", (1200, 1400), Scheme::Light);
}

#[test]
#[ignore = "needs Debian's package chromium; tests/run-all installs it"]
fn nothing_that_strangers_type_or_send_runs_in_a_browser() {
    let (browser, (_scratch, _installation, daemon, site, address)) = (Browser::new(), start("page-hostile", ""));
    let scripts = [
        "<script>document.title='owned'</script>",
        "\"><img src=x onerror=\"document.title='owned'\">",
        "'><svg/onload=document.title='owned'>",
        "</title><script>document.title='owned'</script>",
        "</style><script>document.title='owned'</script>",
        "javascript:document.title='owned'",
        "example.com\" autofocus onfocus=\"document.title='owned'",
    ];
    for script in scripts {
        let escaped: String = script.bytes().map(|octet| format!("%{octet:02x}")).collect();
        let seen = browser.look(&format!("{address}/search?q={escaped}"));
        assert!(seen.document.contains("<title>Search – Waxseal</title>"), "{script}\n{}", seen.document);
        assert_eq!(seen.console, "", "{script}");
        // A domain that was made up, as the log and the counts meet it.
        send(&daemon, "127.0.0.1", &format!(" a@{script}.example"));
        send(&daemon, "127.0.0.1", &format!(" {script} <a@example.test>"));
    }
    let seen = browser.look(&address);
    assert!(seen.document.contains(" – Waxseal</title>") && !seen.document.contains("owned"), "{}", seen.document);
    assert_eq!(seen.console, "");
    assert_eq!(site.get("/healthz").status, 200);
    eventually("the page to go on", Duration::from_secs(5), || (site.get("/").status == 200).then_some(()));
}
