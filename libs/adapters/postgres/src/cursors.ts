/** Where a page ends: the last task's creation and id, or the last execution's instant and its task's id. */
export interface PageEnd {
  readonly at: number;
  readonly id: string;
}

const ID = /^[0-9a-f]{32}$/;

/** The cursor is not one that this program gave out. */
export class InvalidCursor extends Error {
  readonly code = 'BELFRY_INVALID_CURSOR';

  constructor() {
    super('the cursor is none of a page that was given out');
    this.name = 'InvalidCursor';
  }
}

/** `<at, base 36>.<id>`. */
export function encodeCursor({ at, id }: PageEnd): string {
  return `${at.toString(36)}.${id}`;
}

/** @throws InvalidCursor */
export function decodeCursor(cursor: string): PageEnd {
  const [instant = '', id = '', ...rest] = cursor.split('.');
  const at = parseInt(instant, 36);
  if (rest.length > 0 || !ID.test(id) || !Number.isSafeInteger(at) || at.toString(36) !== instant)
    throw new InvalidCursor();
  return { at, id };
}
