import type { CliClient } from './client.ts';
import type { Operators } from './operators.ts';
import type { Output, Paint } from './output.ts';
import type { Clock } from './time.ts';

/** All that a command works with. Nothing in `commands/` reads the environment, the clock or the terminal by itself. */
export interface Cli {
  readonly out: Output;
  readonly paint: Paint;
  readonly json: boolean;
  readonly namespace: string;
  readonly clock: Clock;
  readonly now: () => number;
  /** Connects at the first call, and gives the same client after. */
  readonly connect: () => Promise<CliClient>;
  /** As `connect`, for the commands of operators. */
  readonly operators: () => Promise<Operators>;
  /** Address of NATS, for what connects by itself. */
  readonly natsUrl: () => string;
  readonly stdin: () => Promise<string>;
  /** Standard input as it comes, for what is too much to hold. */
  readonly stdinChunks: () => AsyncIterable<Uint8Array>;
  /** Writes to standard output no faster than it is read. */
  readonly pour: (texts: AsyncIterable<string>) => Promise<void>;
  /** Aborts when the user interrupts. */
  readonly signal: AbortSignal;
}

/** A command says what it exits with; nothing means 0. */
export type CommandResult = Promise<number | void>;
