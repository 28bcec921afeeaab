import { LEVELS, TooNew } from './level.ts';
import type { Envelope, InboxRecord } from './records.ts';

const DECODER = new TextDecoder('utf-8', { fatal: true });
/** Writers put the version first, in envelopes and bundles alike. */
const VERSION = /^\{"v":(\d{1,9})[,}]/;

/** The beginning of an envelope; its records with commas between, and `]}`, follow. */
export function envelopeHead(gateway: string, version: 1 | 2 = 1): string {
  return `{"v":${version},"g":${JSON.stringify(gateway)},"r":[`;
}

/** An envelope that no gateway waits for. All levels read it. */
export function envelopeOf(records: readonly InboxRecord[]): string {
  return `${envelopeHead('')}${records.map((record) => JSON.stringify(record)).join(',')}]}`;
}

/**
 * Reads what stands in an inbox. Gateways and owners write envelopes; anything else is refused.
 * @throws TooNew for an envelope, or a bundle of them, of a version that a program of level `reads` does not know; Error for what is none
 */
export function decodeEnvelope(body: Uint8Array, reads: number = LEVELS.newest): Envelope {
  const text = DECODER.decode(body);
  const version = Number(VERSION.exec(text)?.[1] ?? NaN);
  if (version > reads) throw new TooNew('an envelope', version, reads);
  const envelope = JSON.parse(text) as Envelope;
  if ((envelope.v !== 1 && envelope.v !== 2) || !Array.isArray(envelope.r)) throw new Error('this is no envelope');
  return envelope.v === 1 ? envelope : { ...envelope, r: envelope.r.map(withMetadata) };
}

function withMetadata(record: InboxRecord): InboxRecord {
  return record.k === 'create' && (record.d as string | undefined) === undefined ? { ...record, d: '{}' } : record;
}
