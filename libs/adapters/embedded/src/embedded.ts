import { rmSync } from 'node:fs';
import path from 'node:path';

import { loadCredentials, openDataDir } from './data-dir.ts';
import type { Credentials, DataDir } from './data-dir.ts';
import { removeDevFile } from './dev-file.ts';
import { EmbeddedError } from './errors.ts';
import { Keeper } from './keeper.ts';
import { DataDirLock } from './lock.ts';
import { natsBinary } from './nats-binary.ts';
import { NATS_STOP_SIGNAL, natsMark, startNats } from './nats-server.ts';
import { freePort, LOOPBACK, requirePort } from './ports.ts';
import { forgetDeadPostgres, POSTGRES_STOP_SIGNAL, postgresMark, startPostgres } from './postgres-server.ts';
import { processesMarked, stopAll } from './processes.ts';
import type { ServerExit, ServerProcess } from './server-process.ts';

export interface EmbeddedOptions {
  /** Everything lives here: data, logs, credentials. Default `.belfry`. */
  readonly dataDir?: string;
  /** Default 4222; 0 takes any free port. */
  readonly natsPort?: number;
  /** Default 5433 (5432 is often a Postgres of the system); 0 takes any free port. */
  readonly postgresPort?: number;
  /** Another port that the program will listen on: it is looked at with the servers' own, before anything is made. 0 is any. */
  readonly programPort?: { readonly port: number; readonly what: string; readonly flag: string };
  /** Which servers to start; both unless one is set to false. */
  readonly servers?: { readonly nats?: boolean; readonly postgres?: boolean };
  /** Lines for people about what takes a while. */
  readonly onProgress?: (line: string) => void;
  /** A server has ended although nobody stopped it; it is started again. */
  readonly onServerExit?: (exit: ServerExit) => void;
  /** It is up again, or could not be started (and is tried again). */
  readonly onServerRestart?: (name: string, failure: Error | undefined) => void;
  /** Removes the whole data directory at the end, however that comes: for tests. */
  readonly removeDataOnStop?: boolean;
  /** How long a server may take to become ready; recovery after a crash is part of it. Default 60 s. */
  readonly startTimeoutMs?: number;
  /** How long a server may take to end before it is killed. Default 10 s. */
  readonly stopTimeoutMs?: number;
}

export interface EmbeddedServers extends AsyncDisposable {
  readonly dataDir: string;
  /** With credentials. Throws `not_started` if NATS was not asked for; so do the others. */
  readonly natsUrl: string;
  readonly natsMonitorUrl: string;
  readonly postgresUrl: string;
  /** The keeper is the process that stops the servers should this one be killed. */
  readonly pids: { readonly nats?: number; readonly postgres?: number; readonly keeper?: number };
  readonly ports: { readonly nats?: number; readonly natsMonitor?: number; readonly postgres?: number };
  /** Stops the servers, cleanly if they can within the stated time. Idempotent. */
  stop(): Promise<void>;
}

const DEFAULT_NATS_PORT = 4222;
const DEFAULT_POSTGRES_PORT = 5433;
/** A free port may be taken by another program before the server has it. */
const FREE_PORT_ATTEMPTS = 4;

/** Waits before a server that has ended is started again. */
const FIRST_RESTART_MS = 200;
const LONGEST_RESTART_MS = 10_000;
/** A server that ran for so long begins with the first wait again. */
const SOUND_MS = 60_000;

interface Running {
  readonly server: ServerProcess;
  readonly port: number;
  readonly monitorPort?: number;
}

/** What one start has at hand. */
interface Session {
  readonly dir: DataDir;
  readonly credentials: Credentials;
  readonly keeper: Keeper;
  readonly launched: ServerProcess[];
  readonly timeoutMs: number;
  readonly onProgress: (line: string) => void;
}

/**
 * Starts NATS with JetStream and Postgres on loopback, with their data in one folder.
 *
 * E1. One process uses a data directory at a time (`DataDirLock`).
 * E2. A server never outlives this process by more than its stop time: the keeper sees us go, however we go.
 * E3. What a predecessor left running is stopped before a server starts on its data.
 * E4. A failed start leaves nothing running and gives the lock back.
 * E5. A server that ends by itself is started again on its port, until `stop`; nothing is started after it.
 *
 * @throws EmbeddedError
 */
export async function startEmbedded(options: EmbeddedOptions = {}): Promise<EmbeddedServers> {
  if (process.platform === 'win32')
    throw new EmbeddedError(
      'unsupported_platform',
      'the embedded servers do not run on Windows; use WSL, or set BELFRY_NATS_URL and BELFRY_POSTGRES_URL',
    );
  const dir = openDataDir(path.resolve(options.dataDir ?? '.belfry'));
  const lock = DataDirLock.acquire(dir.root); // E1
  const stopTimeoutMs = options.stopTimeoutMs ?? 10_000;
  const keeper = Keeper.start(stopTimeoutMs, options.removeDataOnStop === true ? dir.root : undefined);
  const launched: ServerProcess[] = [];
  const supervised: Supervised[] = [];
  const stopServers = async (): Promise<void> => {
    const restarts = supervised.map((it) => it.end());
    await Promise.all(launched.map((server) => server.stop(stopTimeoutMs)));
    await Promise.all(restarts);
    await Promise.all(launched.map((server) => server.stop(stopTimeoutMs))); // what a restart under way had launched (E5)
    await keeper.stop();
    removeDevFile(dir.root);
    rmSync(dir.natsPid, { force: true });
    lock.release();
    if (options.removeDataOnStop === true) rmSync(dir.root, { recursive: true, force: true });
  };
  try {
    const onProgress = options.onProgress ?? (() => undefined);
    removeDevFile(dir.root);
    await endSurvivors(dir, onProgress, stopTimeoutMs);
    const natsPort = options.servers?.nats === false ? undefined : (options.natsPort ?? DEFAULT_NATS_PORT);
    const postgresPort =
      options.servers?.postgres === false ? undefined : (options.postgresPort ?? DEFAULT_POSTGRES_PORT);
    if (natsPort !== undefined && natsPort !== 0) await requirePort(natsPort, 'NATS', '--nats-port');
    if (postgresPort !== undefined && postgresPort !== 0)
      await requirePort(postgresPort, 'Postgres', '--postgres-port');
    const { programPort } = options;
    if (programPort !== undefined && programPort.port !== 0)
      await requirePort(programPort.port, programPort.what, programPort.flag);
    const session: Session = {
      dir,
      credentials: loadCredentials(dir),
      keeper,
      launched,
      timeoutMs: options.startTimeoutMs ?? 60_000,
      onProgress,
    };
    const supervise = async (start: Start, port: number): Promise<Supervised> => {
      const it = new Supervised(session, start, await start(session, port), options);
      supervised.push(it);
      return it;
    };
    const [nats, postgres] = await allOrFirstFailure([
      natsPort === undefined ? undefined : supervise(bringUpNats, natsPort),
      postgresPort === undefined ? undefined : supervise(bringUpPostgres, postgresPort),
    ]);
    keeper.unref();
    return handle(session, nats, postgres, stopServers);
  } catch (error) {
    await stopServers(); // E4
    throw error;
  }
}

/** E3. Both, even if only one is to be started now. */
async function endSurvivors(dir: DataDir, onProgress: (line: string) => void, timeoutMs: number): Promise<void> {
  const ended = async (name: string, mark: string, signal: NodeJS.Signals): Promise<void> => {
    const survivors = processesMarked(mark);
    if (survivors.length === 0) return;
    onProgress(`Stopping the ${name} that a killed predecessor left running (process ${survivors.join(', ')})`);
    const stuck = await stopAll(survivors, signal, timeoutMs);
    if (stuck.length === 0) return;
    throw new EmbeddedError(
      'already_running',
      `a ${name} of a former start still runs on ${dir.root} and cannot be stopped: process ${stuck.join(', ')}`,
    );
  };
  await Promise.all([
    ended('nats-server', natsMark(dir), NATS_STOP_SIGNAL),
    ended('Postgres', postgresMark(dir), POSTGRES_STOP_SIGNAL),
  ]);
  forgetDeadPostgres(dir);
}

/** Waits for all, so that nothing is being started any more when a failure is reported. */
async function allOrFirstFailure<T extends readonly unknown[]>(
  parts: T,
): Promise<{ -readonly [K in keyof T]: Awaited<T[K]> }> {
  await Promise.allSettled(parts);
  return Promise.all(parts);
}

async function bringUpNats(session: Session, wanted: number): Promise<Running> {
  const binary = await natsBinary(session.onProgress);
  return onPort(session, wanted, async (port) => {
    const monitorPort = await freePort();
    const server = await startNats({
      ...session,
      binary: binary.path,
      port,
      monitorPort,
      onSpawn: keep(session, NATS_STOP_SIGNAL),
    });
    return { server, port, monitorPort };
  });
}

async function bringUpPostgres(session: Session, wanted: number): Promise<Running> {
  return onPort(session, wanted, async (port) => {
    const server = await startPostgres({ ...session, port, onSpawn: keep(session, POSTGRES_STOP_SIGNAL) });
    return { server, port };
  });
}

function keep(session: Session, signal: NodeJS.Signals): (server: ServerProcess) => void {
  return (server) => {
    session.launched.push(server);
    session.keeper.watch(server, signal); // E2
  };
}

/** Starts on the wanted port, or on a free one; a free one that was lost to somebody else is replaced. */
async function onPort(session: Session, wanted: number, start: (port: number) => Promise<Running>): Promise<Running> {
  for (let attempt = 1; ; attempt++) {
    const port = wanted === 0 ? await freePort() : wanted;
    try {
      return await start(port);
    } catch (error) {
      const taken = await requirePort(port, 'the server', '').then(
        () => false,
        () => true,
      );
      if (wanted !== 0 || !taken || attempt === FREE_PORT_ATTEMPTS) throw error;
      session.onProgress(`Port ${port} was taken meanwhile: trying another`);
    }
  }
}

type Start = (session: Session, port: number) => Promise<Running>;

/** One server with its restarts (E5). */
class Supervised {
  readonly #session: Session;
  readonly #start: Start;
  readonly #tell: Pick<EmbeddedOptions, 'onServerExit' | 'onServerRestart'>;
  #running: Running;
  #restarting: Promise<void> = Promise.resolve();
  #wake: () => void = () => undefined;
  #ending = false;
  #failures = 0;

  constructor(
    session: Session,
    start: Start,
    running: Running,
    tell: Pick<EmbeddedOptions, 'onServerExit' | 'onServerRestart'>,
  ) {
    this.#session = session;
    this.#start = start;
    this.#tell = tell;
    this.#running = running;
    this.#watch();
  }

  get running(): Running {
    return this.#running;
  }

  /** Starts nothing any more; resolves when nothing is being started. */
  end(): Promise<void> {
    this.#ending = true;
    this.#wake();
    return this.#restarting;
  }

  #watch(): void {
    const { server } = this.#running;
    const since = performance.now();
    server.unref();
    void server.exited.then((exit) => {
      if (this.#ending) return;
      if (performance.now() - since >= SOUND_MS) this.#failures = 0;
      this.#tell.onServerExit?.(exit);
      this.#restarting = this.#restart(exit.name);
    });
  }

  async #restart(name: string): Promise<void> {
    for (;;) {
      await this.#pause(Math.min(FIRST_RESTART_MS * 2 ** this.#failures++, LONGEST_RESTART_MS));
      if (this.#ending) return;
      try {
        this.#running = await this.#start(this.#session, this.#running.port);
      } catch (error) {
        if (!this.#ending) this.#tell.onServerRestart?.(name, error as Error);
        continue;
      }
      this.#tell.onServerRestart?.(name, undefined);
      this.#watch();
      return;
    }
  }

  #pause(ms: number): Promise<void> {
    return new Promise((resolve) => {
      this.#wake = resolve;
      setTimeout(resolve, ms).unref();
    });
  }
}

function handle(
  session: Session,
  nats: Supervised | undefined,
  postgres: Supervised | undefined,
  stopServers: () => Promise<void>,
): EmbeddedServers {
  let stopping: Promise<void> | undefined;
  const stop = (): Promise<void> => (stopping ??= stopServers());
  const { user, natsPassword, postgresPassword } = session.credentials;
  const started = (server: Supervised | undefined, name: string): Running => {
    if (server === undefined) throw new EmbeddedError('not_started', `${name} was not started here`);
    return server.running;
  };
  return {
    dataDir: session.dir.root,
    get natsUrl() {
      return `nats://${user}:${natsPassword}@${LOOPBACK}:${started(nats, 'NATS').port}`;
    },
    get natsMonitorUrl() {
      return `http://${LOOPBACK}:${String(started(nats, 'NATS').monitorPort)}`;
    },
    get postgresUrl() {
      return `postgres://${user}:${postgresPassword}@${LOOPBACK}:${started(postgres, 'Postgres').port}/postgres`;
    },
    get pids() {
      return {
        ...(nats === undefined ? {} : { nats: nats.running.server.pid }),
        ...(postgres === undefined ? {} : { postgres: postgres.running.server.pid }),
        ...(session.keeper.pid === undefined ? {} : { keeper: session.keeper.pid }),
      };
    },
    get ports() {
      const monitor = nats?.running.monitorPort;
      return {
        ...(nats === undefined || monitor === undefined ? {} : { nats: nats.running.port, natsMonitor: monitor }),
        ...(postgres === undefined ? {} : { postgres: postgres.running.port }),
      };
    },
    stop,
    [Symbol.asyncDispose]: stop,
  };
}
