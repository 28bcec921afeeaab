import { randomUUID } from 'node:crypto';

import { encodeTexts } from '@belfry/adapter-nats';
import { LIMITS, type CreateReply, type CreateResult, type WireError } from '@belfry/protocol';

import { asWireError, BelfryError, belfryError, textOf } from './errors.ts';
import { isWorthRetrying } from './requester.ts';
import { wireSpec, type ScheduleSpec } from './specs.ts';

/** Requests of one call that are under way at a time. */
const REQUESTS_IN_FLIGHT = 4;
/** For the command id and the brackets. */
const OVERHEAD_BYTES = 1_024;

export interface Batch {
  /** Each spec as JSON text. */
  readonly items: readonly string[];
  /** Places of the items in the whole. */
  readonly places: readonly number[];
  readonly commandId: string;
}

/** Items that can't be sent at all, by their place. */
export type Unsendable = Map<number, WireError>;

/** Cuts specs of any number into requests of up to 1,000 items and 1 MiB, each with a command id of its own. */
export function* batches(specs: Iterable<ScheduleSpec>, unsendable: Unsendable): Generator<Batch> {
  const most = LIMITS.messageBytes - OVERHEAD_BYTES;
  let items: string[] = [];
  let places: number[] = [];
  let bytes = 0;
  let place = -1;
  for (const spec of specs) {
    place++;
    const sized = sizedSpec(spec, most);
    if ('error' in sized) {
      unsendable.set(place, sized.error);
      continue;
    }
    if (items.length > 0 && (items.length === LIMITS.batchItems || bytes + sized.bytes > most)) {
      yield { items, places, commandId: randomUUID() };
      items = [];
      places = [];
      bytes = 0;
    }
    items.push(sized.text);
    places.push(place);
    bytes += sized.bytes;
  }
  if (items.length > 0) yield { items, places, commandId: randomUUID() };
}

type Sized = { readonly text: string; readonly bytes: number } | { readonly error: WireError };

function sizedSpec(spec: ScheduleSpec, most: number): Sized {
  try {
    const text = jsonOf(wireSpec(spec));
    const bytes = Buffer.byteLength(text) + 1;
    if (bytes > most)
      throw belfryError('too_large', `${bytes} bytes; ${LIMITS.payloadBytes} is the limit of a payload`, 'payload');
    return { text, bytes };
  } catch (error) {
    if (error instanceof BelfryError) return { error: asWireError(error) };
    throw error;
  }
}

function jsonOf(spec: object): string {
  try {
    return JSON.stringify(spec);
  } catch (error) {
    throw belfryError('invalid_field', `JSON cannot hold it: ${textOf(error)}`, 'payload', { cause: error });
  }
}

/** A create request, encoded: each spec has been made a text once, to know its size, and that text is what is sent. */
export function requestOf({ items, commandId }: Batch): Uint8Array {
  const texts = items.map((item, at) => (at === 0 ? item : `,${item}`));
  return encodeTexts(['{"items":[', ...texts, `],"commandId":"${commandId}"}`]);
}

/**
 * Sends all batches, a few at a time; the results come in the order of the specs. A batch that fails as a whole fails each of its
 * items. Paths of errors begin inside the item (`retry.attempts`).
 */
export async function createAll(
  specs: readonly ScheduleSpec[],
  send: (request: Uint8Array, again: (reply: CreateReply) => boolean) => Promise<CreateReply>,
): Promise<CreateResult[]> {
  const results = new Array<CreateResult>(specs.length);
  const unsendable: Unsendable = new Map();
  const queue = batches(specs, unsendable);
  const lane = async (): Promise<void> => {
    for (const batch of queue) {
      const answered = await sendBatch(requestOf(batch), send);
      batch.places.forEach((place, i) => {
        results[place] = 'error' in answered ? answered : withinItem(answered.items[i], i);
      });
    }
  };
  await Promise.all(Array.from({ length: REQUESTS_IN_FLIGHT }, lane));
  for (const [place, error] of unsendable) results[place] = { error };
  return results;
}

async function sendBatch(
  request: Uint8Array,
  send: (request: Uint8Array, again: (reply: CreateReply) => boolean) => Promise<CreateReply>,
): Promise<CreateReply | { readonly error: WireError }> {
  try {
    return await send(request, ({ items }) => items.some((item) => 'error' in item && isWorthRetrying(item.error)));
  } catch (error) {
    if (error instanceof BelfryError) return { error: asWireError(error) };
    throw error;
  }
}

function withinItem(result: CreateResult | undefined, i: number): CreateResult {
  if (result === undefined) return { error: { code: 'internal', message: 'the answer has no result for this item' } };
  return 'error' in result ? { error: errorWithinItem(result.error, i) } : result;
}

/** An error's path as it stands in the item itself: without `items[3].`. */
export function errorWithinItem(error: WireError, i: number): WireError {
  const prefix = `items[${i}]`;
  const { path, ...rest } = error;
  if (path?.startsWith(prefix) !== true) return error;
  const inside = path.slice(prefix.length).replace(/^\./, '');
  return inside === '' ? rest : { ...rest, path: inside };
}
