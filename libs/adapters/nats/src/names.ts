import { BUCKETS, STREAMS } from '@belfry/protocol';

const ROOT = 'belfry.';
const PREFIX = /^[A-Za-z0-9]{1,32}$/;

/** What this installation's streams and subjects are called on the broker. */
export interface NatsNames {
  readonly streams: { readonly [K in keyof typeof STREAMS]: string };
  readonly buckets: { readonly [K in keyof typeof BUCKETS]: string };
  /** The broker's subject for one of `@belfry/protocol`'s. */
  subject(protocolSubject: string): string;
  /** The other way round. */
  protocolSubject(subject: string): string;
}

/**
 * Names for one installation. With a `prefix` (letters and digits), several share one broker: streams become
 * `<prefix>_BELFRY_…`, and the subjects' first token becomes `belfry-<prefix>`. Tests use it to keep apart.
 */
export function natsNames(prefix = ''): NatsNames {
  if (prefix === '') {
    return { streams: STREAMS, buckets: BUCKETS, subject: (subject) => subject, protocolSubject: (subject) => subject };
  }
  if (!PREFIX.test(prefix)) throw new RangeError(`the prefix of stream names must be letters and digits: ${prefix}`);
  const root = `belfry-${prefix}.`;
  const prefixed = <T extends object>(names: T): T =>
    Object.fromEntries(Object.entries(names).map(([key, name]) => [key, `${prefix}_${name as string}`])) as T;
  return {
    streams: prefixed(STREAMS),
    buckets: prefixed(BUCKETS),
    subject: (subject) => swapRoot(subject, ROOT, root),
    protocolSubject: (subject) => swapRoot(subject, root, ROOT),
  };
}

function swapRoot(subject: string, from: string, to: string): string {
  if (!subject.startsWith(from)) throw new RangeError(`not a subject of this installation: ${subject}`);
  return to + subject.slice(from.length);
}
