/** A measured number, and what is wanted of it. */
export interface Figure {
  readonly name: string;
  readonly value: number;
  readonly unit: string;
  readonly wanted?: string;
  readonly reached?: boolean;
}

export type Say = (line: string) => void;

type Wanted = { readonly atMost: number } | { readonly atLeast: number };

export function figure(name: string, value: number, unit: string, wanted?: Wanted): Figure {
  if (wanted === undefined) return { name, value, unit };
  if ('atMost' in wanted) return { name, value, unit, wanted: `≤ ${wanted.atMost}`, reached: value <= wanted.atMost };
  return { name, value, unit, wanted: `≥ ${wanted.atLeast}`, reached: value >= wanted.atLeast };
}

export function figuresText(figures: readonly Figure[]): string {
  const rows = figures.map(({ name, value, unit, wanted, reached }) => [
    name,
    `${numberText(value)} ${unit}`,
    wanted ?? '',
    reached === undefined ? '' : reached ? 'yes' : 'NO',
  ]);
  rows.unshift(['what', 'measured', 'wanted', 'reached']);
  const width = (column: number): number => Math.max(...rows.map((row) => (row[column] as string).length));
  const widths = [0, 1, 2, 3].map(width);
  return (
    rows
      .map((row) =>
        row
          .map((text, at) => text.padEnd(widths[at] as number))
          .join('  ')
          .trimEnd(),
      )
      .join('\n') + '\n'
  );
}

function numberText(value: number): string {
  if (!Number.isFinite(value)) return String(value);
  return Number(value.toPrecision(3)).toLocaleString('en', { maximumFractionDigits: 4 });
}
