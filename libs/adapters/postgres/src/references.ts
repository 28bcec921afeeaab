import { plainArray, textArray } from './arrays.ts';
import type { Session } from './sessions.ts';

/** References that a process keeps at hand, of each kind. */
const MOST_KEPT = 50_000;

/** Where, and by what statements, texts of one kind are kept. */
interface Statements {
  /** Adds the texts `$1` that are not there. */
  readonly add: string;
  /** Rows (id, text) of the texts `$1`. */
  readonly byText: string;
  /** Rows (id, text) of the ids `$1`. */
  readonly byId: string;
  readonly latest: string;
}

/** The encoded target itself says its namespace, queue and handler. */
export const TARGETS: Statements = {
  add: `INSERT INTO belfry.target (namespace, queue, handler, body)
    SELECT body::jsonb ->> 0, body::jsonb ->> 1, body::jsonb ->> 2, body FROM unnest($1::text[]) AS body
    ORDER BY body ON CONFLICT DO NOTHING`,
  byText: 'SELECT id, body AS text FROM belfry.target WHERE body = ANY ($1::text[])',
  byId: 'SELECT id, body AS text FROM belfry.target WHERE id = ANY ($1::integer[])',
  latest: `SELECT id, body AS text FROM belfry.target ORDER BY id DESC LIMIT ${MOST_KEPT / 2}`,
};

/** As text: "namespace queue handler", which are names without spaces. */
export const ROUTES: Statements = {
  add: `INSERT INTO belfry.route (namespace, queue, handler)
    SELECT split_part(text, ' ', 1), split_part(text, ' ', 2), split_part(text, ' ', 3) FROM unnest($1::text[]) AS text
    ORDER BY text ON CONFLICT DO NOTHING`,
  byText: `SELECT id, text FROM unnest($1::text[]) AS text JOIN belfry.route
    ON (namespace, queue, handler) = (split_part(text, ' ', 1), split_part(text, ' ', 2), split_part(text, ' ', 3))`,
  byId: `SELECT id, namespace || ' ' || queue || ' ' || handler AS text FROM belfry.route WHERE id = ANY ($1::integer[])`,
  latest: `SELECT id, namespace || ' ' || queue || ' ' || handler AS text FROM belfry.route ORDER BY id DESC LIMIT ${MOST_KEPT / 2}`,
};

export function routeText(row: {
  readonly namespace: string;
  readonly queue: string;
  readonly handler: string;
}): string {
  return `${row.namespace} ${row.queue} ${row.handler}`;
}

/**
 * Numbers for texts that stand in many rows, with a bounded memory of them.
 *
 * N1. A reference, once committed, is never changed or deleted; so what is kept here can't be wrong, as long as it is the same database:
 *     else it must be forgotten.
 * N2. New references are committed before the transaction that uses them begins.
 */
export class References {
  readonly #statements: Statements;
  #ids = new Map<string, number>();
  #texts = new Map<number, string>();
  #prefetched = false;

  constructor(statements: Statements) {
    this.#statements = statements;
  }

  /** The numbers of all `texts`; new ones are stored. Outside of transactions (N2). */
  async idsOf(session: Session, texts: ReadonlySet<string>): Promise<ReadonlyMap<string, number>> {
    const [found, missing] = split(texts, this.#ids);
    if (missing.length === 0) return found;
    const values = [textArray(missing)];
    let rows = await this.#read(session, this.#statements.byText, values);
    if (rows.length < missing.length) {
      await session.query(this.#statements.add, values);
      rows = await this.#read(session, this.#statements.byText, values);
      if (rows.length < missing.length) throw new Error('a reference that was stored is not found');
    }
    for (const { id, text } of rows) found.set(text, id);
    return found;
  }

  /** The texts of all `ids`. @throws for an id that does not exist: a row refers to nothing. */
  async textsOf(session: Session, ids: ReadonlySet<number>): Promise<ReadonlyMap<number, string>> {
    const [found, missing] = split(ids, this.#texts);
    if (missing.length === 0) return found;
    const rows = await this.#read(session, this.#statements.byId, [plainArray(missing)]);
    if (rows.length < missing.length) throw new Error('a row refers to a text that is not there');
    for (const { id, text } of rows) found.set(id, text);
    return found;
  }

  /** The same without a query, when all are at hand. */
  textsAtHand(ids: ReadonlySet<number>): ReadonlyMap<number, string> | undefined {
    const [found, missing] = split(ids, this.#texts);
    return missing.length === 0 ? found : undefined;
  }

  forget(): void {
    this.#ids.clear();
    this.#texts.clear();
    this.#prefetched = false;
  }

  /** Fetches what is most likely to be needed, once. */
  async prefetch(session: Session): Promise<void> {
    if (this.#prefetched) return;
    await this.#read(session, this.#statements.latest, []);
    this.#prefetched = true;
  }

  async #read(session: Session, statement: string, values: readonly unknown[]): Promise<readonly Reference[]> {
    const { rows } = await session.query<{ id: number; text: string }>(statement, values);
    if (this.#ids.size + rows.length > MOST_KEPT) this.forget();
    for (const { id, text } of rows.slice(0, MOST_KEPT)) {
      this.#ids.set(text, id);
      this.#texts.set(id, text);
    }
    return rows;
  }
}

interface Reference {
  readonly id: number;
  readonly text: string;
}

function split<K, V>(wanted: ReadonlySet<K>, known: ReadonlyMap<K, V>): [found: Map<K, V>, missing: K[]] {
  const found = new Map<K, V>();
  const missing: K[] = [];
  for (const key of wanted) {
    const value = known.get(key);
    if (value === undefined) missing.push(key);
    else found.set(key, value);
  }
  return [found, missing];
}
