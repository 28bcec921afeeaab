import { connectNats, type NatsLink } from '@belfry/adapter-nats';
import { isName, LIMITS } from '@belfry/protocol';

import { natsAddress } from './address.ts';
import { belfryError, ConnectionError, textOf } from './errors.ts';
import { jsonLog, type Log } from './log.ts';

/** Where Belfry is, and how to talk with it. All are optional. */
export interface ConnectionOptions {
  /**
   * NATS address, with credentials: `nats://user:password@host:4222`, `tls://…`, several separated by commas. Default: the
   * environment's `BELFRY_NATS_URL`, else `natsUrl` of the nearest `.belfry/dev.json` from the working directory upward.
   */
  readonly url?: string;
  /** Tasks of different namespaces don't see each other. Default `default`. */
  readonly namespace?: string;
  /** How long to try to connect at first; later disconnections are always waited out. Default 60,000. */
  readonly connectTimeoutMs?: number;
  /** Default: JSON lines on stderr, info and up. */
  readonly log?: Log;
}

/** One connection, made when it is first needed. */
export class Connection {
  readonly namespace: string;
  readonly log: Log;
  readonly #name: string;
  readonly #options: ConnectionOptions;
  readonly #closing = new AbortController();
  #link: Promise<NatsLink> | undefined;

  /** @throws BelfryError `invalid_name` */
  constructor(name: string, options: ConnectionOptions) {
    this.namespace = options.namespace ?? 'default';
    if (!isName(this.namespace)) {
      throw belfryError('invalid_name', 'must be 1 to 64 characters of A-Z, a-z, 0-9, _ and -', 'namespace');
    }
    this.log = options.log ?? jsonLog();
    this.#name = name;
    this.#options = options;
  }

  /** @throws ConnectionError; the next call tries again. */
  link(): Promise<NatsLink> {
    this.#link ??= this.#connect().catch((error: unknown) => {
      this.#link = undefined;
      throw error;
    });
    return this.#link;
  }

  get isClosed(): boolean {
    return this.#closing.signal.aborted;
  }

  /** Aborts when the connection is to be closed: whoever waits for it need not wait any longer. */
  get closing(): AbortSignal {
    return this.#closing.signal;
  }

  /** Sends what is under way, then closes. Idempotent. */
  async close(): Promise<void> {
    this.#closing.abort();
    const link = await this.#link?.catch(() => undefined);
    await link?.close();
  }

  async #connect(): Promise<NatsLink> {
    if (this.isClosed) throw new ConnectionError('closed');
    const url = natsAddress(this.#options.url);
    try {
      const link = await connectNats(url, {
        name: this.#name,
        timeoutMs: this.#options.connectTimeoutMs ?? LIMITS.connectMs,
        signal: this.#closing.signal,
        onRetry: (error, attempt, delayMs) =>
          this.log.warn('Belfry cannot be reached yet', { error: error.message, attempt, delayMs }),
      });
      link.onStatus((status) => {
        if (status.kind === 'disconnected') this.log.warn('the connection to Belfry was lost; trying again');
        else if (status.kind === 'reconnected') this.log.info('connected to Belfry again');
        else if (status.kind === 'error') this.log.warn('the broker reports an error', { error: status.error.message });
      });
      return link;
    } catch (error) {
      throw new ConnectionError(textOf(error), { cause: error });
    }
  }
}
