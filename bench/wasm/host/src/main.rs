//! Runs the reduction as a Wasm module: `compile MODULE.wasm FILE` once, then `run FILE HOST:PORT DATABASE MEASUREMENT
//! FROM_NS TO_NS` as often as wanted; `run` prints what `plain` prints, and on standard error the microseconds that loading
//! and instantiating took. `start FILE` does that alone.
//!
//! Compiled ahead, as images are. The process, its socket and its buffers are those of `plain`; what is between them and
//! the reduction is the module's own memory.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Instant;

use anyhow::{Context as _, Result, bail, ensure};
use wasmtime::{Config, Engine, Instance, Memory, Module, OptLevel, Store, TypedFunc};

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words[..] {
        ["compile", module, file] => {
            let bytes = std::fs::read(module).with_context(|| format!("read {module}"))?;
            let compiled = engine()?.precompile_module(&bytes)?;
            std::fs::write(file, compiled).with_context(|| format!("write {file}"))
        }
        ["start", file] => {
            eprintln!("{}", Guest::start(file)?.1);
            Ok(())
        }
        ["run", file, ref question @ ..] if question.len() == 5 => {
            let (mut guest, took_us) = Guest::start(file)?;
            eprintln!("{took_us}");
            println!("{}", guest.reduce(question[0], &question.join(" "))?);
            Ok(())
        }
        _ => bail!(
            "compile MODULE.wasm FILE | start FILE | run FILE HOST:PORT DATABASE MEASUREMENT FROM_NS TO_NS"
        ),
    }
}

fn engine() -> Result<Engine> {
    Engine::new(Config::new().cranelift_opt_level(OptLevel::Speed))
}

/// An instance, and what it exports (`bench/wasm/module/src/lib.rs`).
struct Guest {
    store: Store<()>,
    instance: Instance,
    memory: Memory,
}

impl Guest {
    /// An instance of a compiled module, and the microseconds that it took.
    fn start(file: &str) -> Result<(Self, u128)> {
        let begun = Instant::now();
        let engine = engine()?;
        // SAFETY: the file is what `compile` of this program wrote, in a folder of the bench's own.
        let module = unsafe { Module::deserialize_file(&engine, file) }?;
        let mut store = Store::new(&engine, ());
        let instance = Instance::new(&mut store, &module, &[])?;
        let memory = instance.get_memory(&mut store, "memory").context("the module has no memory")?;
        Ok((Self { store, instance, memory }, begun.elapsed().as_micros()))
    }

    fn reduce(&mut self, host: &str, question: &str) -> Result<String> {
        let (space, room): (TypedFunc<(), u32>, TypedFunc<(), i32>) =
            (self.function("space")?, self.function("room")?);
        let filled: TypedFunc<u32, i32> = self.function("filled")?;
        let words: TypedFunc<u32, u32> = self.function("words")?;
        let place = words.call(&mut self.store, u32::try_from(question.len())?)?;
        self.memory.write(&mut self.store, place as usize, question.as_bytes())?;
        let request = self.say("begin")?;
        let mut stream = TcpStream::connect(host).with_context(|| format!("connect to {host}"))?;
        stream.write_all(&request)?;
        loop {
            let place = space.call(&mut self.store, ())? as usize;
            let room = usize::try_from(room.call(&mut self.store, ())?)?;
            let memory = self.memory.data_mut(&mut self.store);
            let free =
                memory.get_mut(place..place + room).context("the module's buffer lies outside its memory")?;
            // Straight into the module's memory, as a plain process reads into its own.
            let count = stream.read(free)?;
            ensure!(count > 0, "the source has closed");
            let count = u32::try_from(count)?;
            match filled.call(&mut self.store, count)? {
                0 => {}
                1 => break,
                _ => bail!("the module failed: {}", self.words()?),
            }
        }
        Ok(String::from_utf8(self.say("finish")?)?)
    }

    /// Calls what gives the length of a text, and reads it.
    fn say(&mut self, name: &str) -> Result<Vec<u8>> {
        let function: TypedFunc<(), i32> = self.function(name)?;
        match usize::try_from(function.call(&mut self.store, ())?) {
            Ok(length) => self.text(length),
            Err(_) => bail!("{name} of the module failed: {}", self.words()?),
        }
    }

    fn words(&mut self) -> Result<String> {
        let failed: TypedFunc<(), i32> = self.function("failed")?;
        let length = usize::try_from(failed.call(&mut self.store, ())?)?;
        Ok(String::from_utf8_lossy(&self.text(length)?).into_owned())
    }

    fn text(&mut self, length: usize) -> Result<Vec<u8>> {
        let text: TypedFunc<(), u32> = self.function("text")?;
        let place = text.call(&mut self.store, ())? as usize;
        let text = self.memory.data(&self.store).get(place..place + length);
        Ok(text.context("the module's text lies outside its memory")?.to_vec())
    }

    fn function<P: wasmtime::WasmParams, R: wasmtime::WasmResults>(
        &mut self,
        name: &str,
    ) -> Result<TypedFunc<P, R>> {
        self.instance.get_typed_func(&mut self.store, name)
    }
}
