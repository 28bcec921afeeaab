import { LIMITS } from '@belfry/protocol';
import { connect } from '@nats-io/transport-node';
import type { ConnectionOptions, NatsConnection } from '@nats-io/transport-node';

import { asError, NatsFailure } from './errors.ts';

/** Older servers lose data or strand consumers (facts: fixed up to here), or lack atomic batches. */
const OLDEST_SOUND_SERVER = [2, 14, 4] as const;
const FIRST_RETRY_MS = 100;
const LONGEST_RETRY_MS = 5_000;
const PING_MS = 2_500;
/** How long a connection that is given up may take to end by itself. */
const STALE_MS = 500;

export type LinkStatus =
  | { readonly kind: 'disconnected' }
  | { readonly kind: 'reconnected'; readonly server: string }
  /** Something the client reports and survives: a permission violation, a protocol error. */
  | { readonly kind: 'error'; readonly error: Error }
  | { readonly kind: 'closed'; readonly error: Error | undefined };

export interface ConnectOptions {
  /** Shown in the server's monitoring. */
  readonly name: string;
  /** How long to go on trying; default `LIMITS.connectMs`. */
  readonly timeoutMs?: number;
  /** How often the server is asked whether it is there; default 2.5 s. */
  readonly pingMs?: number;
  readonly onRetry?: (error: Error, attempt: number, delayMs: number) => void;
  /** Ends the trying early. */
  readonly signal?: AbortSignal;
}

/**
 * A connection that outlives its servers.
 *
 * L1. While it is not closed it goes on reconnecting, for ever: a disconnection is a status, never an exception.
 * L2. What was published before a disconnection and not acknowledged may be lost, and its acknowledgement too; so each
 *     disconnection raises `generation`, and who waits for an answer from an older one stops waiting.
 * L3. A server that answers nothing for two to three times `PING_MS` is left, for another if there is one. That we stand still is no silence
 *     of the server's: after it comes one ping, and the next `PING_MS` later.
 * L4. Of several servers, the one that was not tried for longest is tried next: a server that hangs still accepts connections.
 */
export class NatsLink implements AsyncDisposable {
  readonly nc: NatsConnection;
  /** What an operator should know about the server that answered first; empty when it is sound. */
  readonly warnings: readonly string[];
  #connected = true;
  #generation = 0;
  readonly #listeners = new Set<(status: LinkStatus) => void>();

  constructor(nc: NatsConnection) {
    this.nc = nc;
    this.warnings = serverWarnings(nc);
    void this.#follow();
  }

  get isConnected(): boolean {
    return this.#connected && !this.nc.isClosed();
  }

  /** Grows with each disconnection (L2). */
  get generation(): number {
    return this.#generation;
  }

  /** Listeners are called in turn; one that throws ends nobody's connection. Returns how to stop. */
  onStatus(listener: (status: LinkStatus) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** True as soon as it is connected; false when that took longer than `withinMs`, or it was closed. */
  async whenConnected(withinMs: number): Promise<boolean> {
    if (this.isConnected) return true;
    if (this.nc.isClosed()) return false;
    return await new Promise<boolean>((resolve) => {
      const settle = (connected: boolean): void => {
        clearTimeout(timer);
        off();
        resolve(connected);
      };
      const timer = setTimeout(() => settle(false), withinMs);
      const off = this.onStatus((status) => {
        if (status.kind === 'reconnected') settle(true);
        else if (status.kind === 'closed') settle(false);
      });
    });
  }

  /** Sends what is buffered, then closes. Idempotent; waits at most `flushMs` for a server that does not answer. */
  async close(flushMs = 2_000): Promise<void> {
    if (this.nc.isClosed()) return;
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<void>((resolve) => (timer = setTimeout(resolve, flushMs)));
    const flushed = this.isConnected ? this.nc.flush().catch(() => undefined) : undefined;
    await Promise.race([flushed, late]);
    clearTimeout(timer);
    await this.nc.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #follow(): Promise<void> {
    void this.nc.closed().then((error) => {
      this.#connected = false;
      this.#generation++;
      this.#tell({ kind: 'closed', error: error ?? undefined });
    });
    for await (const status of this.nc.status()) {
      if (status.type === 'disconnect') {
        this.#connected = false;
        this.#generation++; // L2
        this.#tell({ kind: 'disconnected' });
      } else if (status.type === 'reconnect') {
        this.#connected = true;
        this.#tell({ kind: 'reconnected', server: status.server });
      } else if (status.type === 'staleConnection') {
        this.#endSoon();
      } else if (status.type === 'error') {
        this.#tell({ kind: 'error', error: status.error });
      }
    }
  }

  /** L3: before it gives a connection up, the client waits for what it has written, which a server that hangs does not take. */
  #endSoon(): void {
    const generation = this.#generation;
    const end = (): void => {
      if (generation === this.#generation) socketOf(this.nc)?.destroy();
    };
    setTimeout(end, STALE_MS).unref();
  }

  #tell(status: LinkStatus): void {
    for (const listener of [...this.#listeners]) {
      try {
        listener(status);
      } catch (error) {
        queueMicrotask(() => {
          throw error; // a bug of the listener's: not ours to hide, not the connection's to die of
        });
      }
    }
  }
}

/**
 * Connects to one of the servers in `url` (comma-separated; `nats://user:password@host:port`, `tls://…`, a user alone is a
 * token). Retries with backoff until `timeoutMs`.
 * @throws NatsFailure `connect` when none was reached in time, `refused` when the credentials were.
 */
export async function connectNats(url: string, options: ConnectOptions): Promise<NatsLink> {
  const deadline = performance.now() + (options.timeoutMs ?? LIMITS.connectMs);
  const settings = connectionOptions(url, options);
  for (let attempt = 1; ; attempt++) {
    const leftMs = deadline - performance.now();
    try {
      return new NatsLink(await connect({ ...settings, timeout: Math.max(500, Math.min(5_000, leftMs)) }));
    } catch (thrown) {
      const error = asError(thrown);
      if (error.name === 'AuthorizationError' && !isLate(error)) {
        throw new NatsFailure('refused', `NATS at ${withoutSecrets(url)} refuses the credentials`, { cause: error });
      }
      const delayMs = Math.min(FIRST_RETRY_MS * 2 ** (attempt - 1), LONGEST_RETRY_MS) * (0.75 + Math.random() / 2);
      if (performance.now() + delayMs > deadline || options.signal?.aborted === true) {
        throw new NatsFailure('connect', `NATS at ${withoutSecrets(url)} cannot be reached: ${error.message}`, {
          cause: error,
        });
      }
      options.onRetry?.(error, attempt, Math.round(delayMs));
      await delay(delayMs, options.signal);
    }
  }
}

/**
 * A server gives a client 2 s to name itself, which a busy machine may miss: no word against its credentials. The client has one error for
 * both; the text is the protocol's.
 */
function isLate({ message }: Error): boolean {
  return message.toLowerCase().includes('authentication timeout');
}

function connectionOptions(url: string, { name, pingMs = PING_MS }: ConnectOptions): ConnectionOptions {
  const servers: string[] = [];
  const settings: ConnectionOptions = {
    name,
    reconnect: true,
    maxReconnectAttempts: -1, // L1
    ignoreAuthErrorAbort: true, // L1: credentials may be right again when the server's configuration is
    reconnectTimeWait: 250,
    reconnectJitter: 250,
    reconnectToServer: (known) => known.toSorted((a, b) => a.lastConnect - b.lastConnect)[0] ?? null, // L4
    pingInterval: pingMs, // L3
    maxPingOut: 2,
    noAsyncTraces: true,
  };
  for (const part of url.split(',')) {
    const text = part.trim();
    const parsed = URL.parse(text.includes('://') ? text : `nats://${text}`);
    if (parsed === null) throw new NatsFailure('connect', `not a NATS address: ${withoutSecrets(text)}`);
    servers.push(`${parsed.hostname}:${parsed.port === '' ? '4222' : parsed.port}`);
    if (parsed.protocol === 'tls:') settings.tls = {};
    if (parsed.password !== '') {
      settings.user = decodeURIComponent(parsed.username);
      settings.pass = decodeURIComponent(parsed.password);
    } else if (parsed.username !== '') {
      settings.token = decodeURIComponent(parsed.username);
    }
  }
  return { ...settings, servers };
}

/** Not part of the client's public interface: undefined in a version that has it elsewhere. */
function socketOf(nc: NatsConnection): { destroy(): void } | undefined {
  type Inside = { readonly protocol?: { readonly transport?: { readonly socket?: { destroy?: () => void } } } };
  const socket = (nc as unknown as Inside).protocol?.transport?.socket;
  return typeof socket?.destroy === 'function' ? (socket as { destroy(): void }) : undefined;
}

function withoutSecrets(url: string): string {
  return url.replaceAll(/\/\/[^@/,]*@/g, '//');
}

function serverWarnings(nc: NatsConnection): string[] {
  const warnings: string[] = [];
  const info = nc.info;
  if (info === undefined) return warnings;
  if (isOlder(info.version)) {
    warnings.push(
      `nats-server ${info.version} is older than ${OLDEST_SOUND_SERVER.join('.')}: bugs that lose data or strand consumers were fixed up to there.`,
    );
  }
  if (info.jetstream !== true) warnings.push(`nats-server ${info.server_name} has no JetStream.`);
  if (info.max_payload < LIMITS.messageBytes) {
    warnings.push(
      `nats-server takes messages of ${info.max_payload} bytes; ${LIMITS.messageBytes} are needed (max_payload).`,
    );
  }
  warnings.push(
    'Whether the server syncs before it acknowledges (sync_interval: always) cannot be asked of it: see its configuration.',
  );
  return warnings;
}

function isOlder(version: string): boolean {
  const parts = version.split(/[.-]/, 3).map(Number);
  for (const [i, floor] of OLDEST_SOUND_SERVER.entries()) {
    const part = parts[i] ?? 0;
    if (part !== floor) return !(part > floor);
  }
  return false;
}

export async function delay(ms: number, signal?: AbortSignal): Promise<void> {
  await new Promise<void>((resolve) => {
    if (signal?.aborted === true) return resolve();
    const settle = (): void => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', settle);
      resolve();
    };
    const timer = setTimeout(settle, ms);
    signal?.addEventListener('abort', settle);
  });
}
