//! A service of one's own, and a client that says what came back.

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;
use ureq::tls::{Certificate, RootCerts, TlsConfig};

/// The program, serving a directory of its own.
pub(crate) struct Service {
    dir: TempDir,
    process: Option<Child>,
    pub(crate) url: String,
    app: String,
    pub(crate) client_id: String,
    pub(crate) client_secret: String,
    /// The app's own token.
    pub(crate) token: String,
    args: Vec<String>,
    agent: ureq::Agent,
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) body: Value,
    pub(crate) headers: Vec<(String, String)>,
}

impl Service {
    /// A service with one app on the Pro plan, without rates.
    pub(crate) fn start() -> Self {
        Self::start_with(&["--no-rates"])
    }

    /// A service with one app on the Pro plan, unless `args` name another plan.
    pub(crate) fn start_with(args: &[&str]) -> Self {
        Self::begin(TempDir::new().unwrap(), args, TlsConfig::default())
    }

    /// The same with a configuration file.
    pub(crate) fn start_configured(config: &str, args: &[&str]) -> Self {
        let dir = TempDir::new().unwrap();
        std::fs::write(dir.path().join("serve.toml"), config).unwrap();
        let args = [&["--config", "serve.toml"], args].concat();
        Self::begin(dir, &args, TlsConfig::default())
    }

    /// The same that speaks TLS, and a client that trusts its certificate.
    pub(crate) fn start_secure(config: &str) -> Self {
        let dir = TempDir::new().unwrap();
        let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
        for (name, pem) in [
            ("cert.pem", made.cert.pem()),
            ("key.pem", made.signing_key.serialize_pem()),
            ("serve.toml", config.to_owned()),
        ] {
            std::fs::write(dir.path().join(name), pem).unwrap();
        }
        let trusted = Certificate::from_der(made.cert.der()).to_owned();
        let tls = TlsConfig::builder().root_certs(RootCerts::new_with_certs(&[trusted]));
        let args = [
            "--config",
            "serve.toml",
            "--tls-cert",
            "cert.pem",
            "--tls-key",
            "key.pem",
        ];
        Self::begin(dir, &args, tls.build())
    }

    fn begin(dir: TempDir, args: &[&str], tls: TlsConfig) -> Self {
        let agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .allow_non_standard_methods(true)
            .tls_config(tls)
            .build();
        let mut service = Self {
            dir,
            process: None,
            url: String::new(),
            app: "test/chat".to_owned(),
            client_id: String::new(),
            client_secret: String::new(),
            token: String::new(),
            args: args.iter().map(|arg| (*arg).to_owned()).collect(),
            agent: agent.into(),
        };
        service.spawn();
        service.token = service.app_token();
        service
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    /// A path beside the data directory.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn spawn(&mut self) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tidestore"));
        command
            .arg("--data")
            .arg(self.data())
            .args([
                "--json",
                "serve",
                "--listen",
                "127.0.0.1:0",
                "--log",
                "warn",
            ])
            .args(["--app", "test#chat"])
            .args(&self.args)
            .current_dir(self.dir.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped());
        let mut process = command.spawn().unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        self.process = Some(process);
        loop {
            let line = lines.next().expect("the service ended").unwrap();
            let said: Value = serde_json::from_str(&line).unwrap();
            if let Some(id) = said["client_id"].as_str() {
                self.client_id = id.to_owned();
                self.client_secret = said["client_secret"].as_str().unwrap().to_owned();
            }
            if let Some(url) = said["listening"].as_str() {
                self.url = url.to_owned();
                return;
            }
        }
    }

    fn app_token(&self) -> String {
        let reply = self.raw(
            "POST",
            &format!("/{}/token", self.app),
            None,
            Some(&json!({
                "grant_type": "client_credentials",
                "client_id": self.client_id,
                "client_secret": self.client_secret,
            })),
        );
        reply.body["access_token"]
            .as_str()
            .unwrap_or_else(|| panic!("{reply:?}"))
            .to_owned()
    }

    /// The token of a user, by the app's word for him.
    pub(crate) fn user_token(&self, user: &str) -> String {
        let asked = json!({"grant_type": "inherit", "username": user});
        let reply = self.post("/token", &asked);
        reply.body["access_token"]
            .as_str()
            .unwrap_or_else(|| panic!("{reply:?}"))
            .to_owned()
    }

    /// `kill -9`, and the same directory served again, at another port.
    pub(crate) fn kill_and_restart(&mut self) {
        let mut process = self.process.take().unwrap();
        process.kill().unwrap();
        process.wait().unwrap();
        self.spawn();
    }

    /// The same directory served again with other arguments.
    pub(crate) fn restart_with(&mut self, args: &[&str]) {
        if self.process.is_some() {
            self.stop();
        }
        self.args = args.iter().map(|arg| (*arg).to_owned()).collect();
        self.spawn();
    }

    /// SIGTERM, and how the process ended.
    pub(crate) fn stop(&mut self) -> Option<i32> {
        let mut process = self.process.take().unwrap();
        let id = process.id().to_string();
        assert!(
            Command::new("kill")
                .args(["-TERM", &id])
                .status()
                .unwrap()
                .success()
        );
        process.wait().unwrap().code()
    }

    /// Runs another command on the data directory, while nobody serves it.
    pub(crate) fn command(&self, args: &[&str]) -> std::process::Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tidestore"));
        command
            .arg("--data")
            .arg(self.data())
            .args(args)
            .output()
            .unwrap()
    }

    /// A bare connection, for what no client library would send.
    pub(crate) fn connect(&self) -> TcpStream {
        let (_, address) = self.url.split_once("://").unwrap();
        TcpStream::connect(address).unwrap()
    }

    pub(crate) fn get(&self, path: &str) -> Reply {
        self.call("GET", path, None)
    }

    pub(crate) fn post(&self, path: &str, body: &Value) -> Reply {
        self.call("POST", path, Some(body))
    }

    pub(crate) fn put(&self, path: &str, body: &Value) -> Reply {
        self.call("PUT", path, Some(body))
    }

    pub(crate) fn delete(&self, path: &str) -> Reply {
        self.call("DELETE", path, None)
    }

    /// A call of the app, with its own token.
    pub(crate) fn call(&self, method: &str, path: &str, body: Option<&Value>) -> Reply {
        self.call_as(&self.token, method, path, body)
    }

    /// A call of the app with somebody's token.
    pub(crate) fn call_as(
        &self,
        token: &str,
        method: &str,
        path: &str,
        body: Option<&Value>,
    ) -> Reply {
        self.raw(method, &format!("/{}{path}", self.app), Some(token), body)
    }

    /// A call of any path.
    pub(crate) fn raw(
        &self,
        method: &str,
        path: &str,
        token: Option<&str>,
        body: Option<&Value>,
    ) -> Reply {
        let body = body.map(|body| (body.to_string().into_bytes(), "application/json"));
        self.bytes(method, path, token, &[], body)
    }

    /// A call with any bytes and headers.
    pub(crate) fn bytes(
        &self,
        method: &str,
        path: &str,
        token: Option<&str>,
        headers: &[(&str, &str)],
        body: Option<(Vec<u8>, &str)>,
    ) -> Reply {
        let (status, headers, bytes) = self.fetch(method, path, token, headers, body);
        let body = serde_json::from_slice(&bytes);
        let body = body.unwrap_or_else(|_| String::from_utf8_lossy(&bytes).into());
        Reply {
            status,
            body,
            headers,
        }
    }

    /// The same, with the bytes that came back.
    pub(crate) fn fetch(
        &self,
        method: &str,
        path: &str,
        token: Option<&str>,
        headers: &[(&str, &str)],
        body: Option<(Vec<u8>, &str)>,
    ) -> (u16, Vec<(String, String)>, Vec<u8>) {
        let mut request = ureq::http::Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.url));
        if let Some(token) = token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = match body {
            Some((bytes, kind)) => {
                let request = request.header("content-type", kind).body(bytes).unwrap();
                let request = self
                    .agent
                    .configure_request(request)
                    .allow_non_standard_methods(true);
                self.agent.run(request.build())
            }
            None => self.agent.run(request.body(()).unwrap()),
        };
        let mut response = response.unwrap_or_else(|error| panic!("{method} {path}: {error}"));
        let of = |(name, value): (&ureq::http::HeaderName, &ureq::http::HeaderValue)| {
            (
                name.as_str().to_owned(),
                String::from_utf8_lossy(value.as_bytes()).into_owned(),
            )
        };
        let headers = response.headers().iter().map(of).collect();
        let status = response.status().as_u16();
        (
            status,
            headers,
            response
                .body_mut()
                .with_config()
                .limit(64 << 20)
                .read_to_vec()
                .unwrap(),
        )
    }

    /// Sends bytes as they are and reads what comes back until the service ends the connection.
    #[track_caller]
    pub(crate) fn say(&self, request: &str) -> String {
        let mut stream = self.connect();
        stream
            .set_read_timeout(Some(Duration::from_secs(20)))
            .unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        match stream.take(1 << 20).read_to_string(&mut answer) {
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                panic!("the connection goes on after {answer:?}")
            }
            // Whoever is cut off may be reset.
            _ => answer,
        }
    }

    /// Makes a group or chatroom and answers its id.
    pub(crate) fn make(&self, path: &str, new: &Value) -> String {
        let made = self.post(path, new).data();
        let id = made.get("groupid").or(made.get("id"));
        id.and_then(Value::as_str).unwrap().to_owned()
    }

    /// Registers users with the password `secret`.
    pub(crate) fn register(&self, names: &[impl AsRef<str>]) {
        for batch in names.chunks(60) {
            let users: Vec<Value> = batch
                .iter()
                .map(|name| json!({"username": name.as_ref(), "password": "secret"}))
                .collect();
            self.post("/users", &json!(users)).ok();
        }
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        if let Some(mut process) = self.process.take() {
            drop(process.kill());
            drop(process.wait());
        }
    }
}

impl Reply {
    /// The body of a call that must have been done.
    #[track_caller]
    pub(crate) fn ok(self) -> Value {
        assert_eq!(self.status, 200, "{}", self.body);
        self.body
    }

    /// `data` of a call that must have been done.
    #[track_caller]
    pub(crate) fn data(self) -> Value {
        self.ok()["data"].take()
    }

    /// A refusal with this status and word, in the right envelope.
    #[track_caller]
    pub(crate) fn refused(self, status: u16, error: &str) -> String {
        let said = (self.status, self.body["error"].as_str().unwrap_or_default());
        assert_eq!(said, (status, error), "{}", self.body);
        for field in ["exception", "error_description"] {
            assert!(self.body[field].is_string(), "{field}: {}", self.body);
        }
        for field in ["timestamp", "duration"] {
            assert!(self.body[field].is_u64(), "{field}: {}", self.body);
        }
        self.body["error_description"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut all = self.headers.iter();
        all.find_map(|(key, value)| (key == name).then_some(value.as_str()))
    }
}
