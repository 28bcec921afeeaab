import { jsApi } from './api.ts';
import type { StreamInfo } from './api.ts';
import type { NatsLink } from './connection.ts';

const TIMEOUT_MS = 30_000;
/** Subjects of the last page that the next one starts with again. */
const OVERLAP = 1_000;

/**
 * The subjects that have messages in a stream, in order. The server lists them sorted, 100,000 a page; subjects that vanish
 * between two pages move the rest forward, so pages overlap, and one that does not reach back far enough is asked for again.
 * All that were there before the call and still are after it are listed.
 */
export async function listSubjects(link: NatsLink, stream: string, filter: string): Promise<string[]> {
  const listed: string[] = [];
  let overlap = 0;
  let offset = 0;
  for (;;) {
    const page = await jsApi<StreamInfo>(
      link,
      `STREAM.INFO.${stream}`,
      { subjects_filter: filter, offset },
      TIMEOUT_MS,
    );
    if (page.kind !== 'ok') throw page.error;
    const subjects = Object.keys(page.value.state.subjects ?? {}).sort();
    const last = listed.at(-1);
    const [first] = subjects;
    if (last !== undefined && offset > 0 && (first === undefined || first > last)) {
      overlap *= 8;
      offset = Math.max(0, offset - overlap);
      continue;
    }
    for (const subject of subjects) if (last === undefined || subject > last) listed.push(subject);
    if (offset + subjects.length >= (page.value.total ?? 0)) return listed;
    overlap = OVERLAP;
    offset = Math.max(0, offset + subjects.length - overlap);
  }
}
