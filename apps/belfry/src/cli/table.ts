import { stripVTControlCharacters } from 'node:util';

import type { Paint } from './output.ts';

export interface Column {
  readonly title: string;
  readonly align?: 'left' | 'right';
  /** May be cut to fit the terminal; at most one column. Ids must stay whole: people copy them. */
  readonly shrink?: boolean;
}

const GAP = '  ';
const NARROWEST = 12;

/** Control characters of users' text would steer the terminal. */
export function printable(text: string): string {
  return text.replace(/[\u0000-\u001f\u007f-\u009f]/g, (c) => (c === '\n' ? '⏎' : c === '\t' ? ' ' : '·'));
}

function widthOf(text: string): number {
  return [...stripVTControlCharacters(text)].length;
}

export function cut(text: string, width: number): string {
  const characters = [...text];
  return characters.length <= width ? text : characters.slice(0, Math.max(0, width - 1)).join('') + '…';
}

function pad(text: string, width: number, align: Column['align']): string {
  const fill = ' '.repeat(Math.max(0, width - widthOf(text)));
  return align === 'right' ? fill + text : text + fill;
}

/** Lines of a table without borders; cells may hold colours, except in the column that shrinks. */
export function table(
  columns: readonly Column[],
  rows: readonly (readonly string[])[],
  width: number,
  paint: Paint,
): string[] {
  const widths = columns.map((column, i) =>
    Math.max(widthOf(column.title), ...rows.map((row) => widthOf(row[i] ?? ''))),
  );
  const total = widths.reduce((sum, w) => sum + w, 0) + GAP.length * (columns.length - 1);
  const elastic = columns.findIndex((column) => column.shrink);
  if (elastic >= 0 && total > width) {
    const least = Math.min(NARROWEST, widths[elastic] as number);
    widths[elastic] = Math.max(least, (widths[elastic] as number) - (total - width));
  }
  const line = (cells: readonly string[]) =>
    columns
      .map((column, i) => {
        const cell = cells[i] ?? '';
        return pad(i === elastic ? cut(cell, widths[i] as number) : cell, widths[i] as number, column.align);
      })
      .join(GAP)
      .trimEnd();
  return [paint('dim', line(columns.map((column) => column.title))), ...rows.map(line)];
}

/** Lines of `name  value`, names aligned; those without a value are left out. */
export function fields(pairs: readonly (readonly [string, string | undefined])[], paint: Paint): string[] {
  const given = pairs.filter((pair): pair is readonly [string, string] => pair[1] !== undefined);
  const width = Math.max(...given.map(([name]) => name.length));
  return given.map(([name, value]) => `${paint('dim', name.padEnd(width))}  ${value}`);
}
