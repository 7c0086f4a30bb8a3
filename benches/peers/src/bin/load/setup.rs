//! Steps before and after the load, one blocking exchange at a time.

use std::{
    io::{self, ErrorKind, Read, Write},
    net::TcpStream,
};

use windlass_cli::client::{
    fault::{Fault, Kind},
    frames,
    totals::Totals,
};

use crate::{options::Options, template::Template};

/// Size of the read buffer.
const READ_BYTES: usize = 64 * 1024;

/// Creates the templates and sends each once, so that later responses can be compared with the first.
pub(crate) fn templates(options: &Options) -> Result<Vec<Template>, Fault> {
    let host = options.target_of(0).to_string();
    let mut templates: Vec<Template> = if let Some(post) = body(options, &host, options.churn) {
        vec![post]
    } else if options.mix.is_empty() {
        vec![Template::get(&options.path, &host, options.churn)]
    } else {
        mix(options, &host)
    };
    if !templates.iter().any(Template::is_timed) {
        return Err(Fault::new(Kind::Body, "--latency-of names a path that is not in --mix"));
    }
    for template in &mut templates {
        exchange(options, template)?;
    }
    match templates.as_slice() {
        [first, rest @ ..] if !rest.is_empty() && rest.iter().all(|other| first.has_same_response(other)) => {
            let detail = format!(
                "all paths of --mix return the same body as {}, so the order cannot be checked",
                first.path()
            );
            Err(Fault::new(Kind::Body, detail))
        }
        _ => Ok(templates),
    }
}

/// Returns the request whose body must be echoed, if the options configure one.
fn body(options: &Options, host: &str, close: bool) -> Option<Template> {
    let (path, size) = (&options.path, options.body_bytes);
    match options.ws {
        Some(kind) => Some(Template::message(path, host, kind.into(), size)),
        None => (size > 0).then(|| Template::post(path, host, close, size)),
    }
}

fn mix(options: &Options, host: &str) -> Vec<Template> {
    let template = |path: &String| {
        let template = Template::get(path, host, options.churn);
        let left_out = options.latency_of.as_ref().is_some_and(|timed| timed != path);
        if left_out { template.untimed() } else { template }
    };
    options.mix.iter().map(template).collect()
}

/// Opens the idle connections and sends one request on each.
pub(crate) fn idle_connections(options: &Options, templates: &[Template]) -> Result<Vec<TcpStream>, Fault> {
    let host = options.target_of(0).to_string();
    let mut template =
        body(options, &host, false).unwrap_or_else(|| Template::get(templates[0].path(), &host, false));
    (0..options.idle).map(|_| exchange(options, &mut template)).collect()
}

/// Prints the number of established connections and pauses, so that a script can inspect the idle server.
pub(crate) fn pause(options: &Options, established: usize) -> io::Result<()> {
    if !options.pause.is_zero() {
        writeln!(io::stdout(), "established={established}")?;
        std::thread::sleep(options.pause);
    }
    Ok(())
}

/// Counts the idle connections that the server has closed or sent bytes on.
pub(crate) fn check_idle(idle: &[TcpStream], totals: &mut Totals) {
    for stream in idle {
        let found = stream.set_nonblocking(true).and_then(|()| stream.peek(&mut [0]));
        match found {
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => totals.failed(&Fault::new(Kind::Idle, error), 1),
            Ok(0) => totals.failed(&Fault::new(Kind::Idle, "server closed an idle connection"), 1),
            Ok(_) => totals.failed(&Fault::new(Kind::Idle, "server sent bytes on an idle connection"), 1),
        }
    }
}

/// Connects, sends one request, and learns or checks the response.
fn exchange(options: &Options, template: &mut Template) -> Result<TcpStream, Fault> {
    let connect = TcpStream::connect_timeout(&options.target_of(0), options.timeout);
    let mut stream = connect.map_err(|error| Fault::new(Kind::Connect, error))?;
    let io = |error| Fault::new(Kind::Io, error);
    stream.set_read_timeout(Some(options.timeout)).map_err(io)?;
    let (mut input, mut out) = (Vec::new(), Vec::new());
    if let Some(handshake) = template.handshake() {
        stream.write_all(handshake).map_err(io)?;
        let used = read_until(&mut stream, &mut input, frames::parse_handshake_response)?;
        input.drain(..used);
    }
    template.write(0, &mut out);
    stream.write_all(&out).map_err(io)?;
    read_until(&mut stream, &mut input, |input| Ok(template.parse(input, &mut out)?.map(drop)))?;
    let Some(response) = template.parse(&input, &mut out)? else { return Err(closed()) };
    if response.len != input.len() {
        return Err(Fault::new(Kind::Unsolicited, "bytes after the response"));
    }
    template.learn(&response);
    template.check(0, &response)?;
    Ok(stream)
}

/// Reads until `parse` returns a value.
pub(crate) fn read_until<T>(
    stream: &mut TcpStream,
    input: &mut Vec<u8>,
    mut parse: impl FnMut(&[u8]) -> Result<Option<T>, Fault>,
) -> Result<T, Fault> {
    let mut buffer = vec![0; READ_BYTES];
    loop {
        if let Some(value) = parse(input)? {
            return Ok(value);
        }
        match stream.read(&mut buffer).map_err(|error| Fault::new(Kind::Io, error))? {
            0 => return Err(closed()),
            length => input.extend_from_slice(&buffer[..length]),
        }
    }
}

fn closed() -> Fault {
    Fault::new(Kind::Closed, "server closed the connection before the response was complete")
}
