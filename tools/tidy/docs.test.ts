import { existsSync, globSync, readFileSync } from 'node:fs';
import path from 'node:path';

import { describe, expect, it } from 'vitest';

import { ROOMS } from './rooms.mjs';

const ROOT = path.dirname(path.dirname(import.meta.dirname));
const PAGES = ['README.md', 'CHANGELOG.md', ...globSync('docs/**/*.md', { cwd: ROOT })];

function page(file: string): string {
  return readFileSync(path.join(ROOT, file), 'utf8');
}

/** The cells of a page's table rows. */
function rows(text: string): string[][] {
  return text
    .split('\n')
    .filter((line) => line.startsWith('| `'))
    .map((line) => line.split('|').map((cell) => cell.trim()).slice(1, -1)); // prettier-ignore
}

function codes(cell: string | undefined): string[] {
  return [...(cell ?? '').matchAll(/`([^`]+)`/g)].map((match) => match[1] as string);
}

describe.each(PAGES)('%s', (file) => {
  it('links to what is there', () => {
    const links = [...page(file).matchAll(/\]\(([^)\s]+)\)/g)].map((match) => match[1] as string);
    const own = links.filter((link) => !/^[a-z]+:/.test(link));
    const broken = own.filter((link) => {
      const [target = '', anchor] = link.split('#');
      const found = target === '' ? file : path.join(path.dirname(file), target);
      if (!existsSync(path.join(ROOT, found))) return true;
      return anchor !== undefined && found.endsWith('.md') && !headings(page(found)).includes(anchor);
    });
    expect(broken).toEqual([]);
  });

  it('names files that are there', () => {
    const named = codes(page(file)).filter((text) => /^(apps|libs|tools|examples|docs)\/[\w./-]+$/.test(text));
    expect(named.filter((name) => !existsSync(path.join(ROOT, name)))).toEqual([]);
  });
});

/** The anchors that GitHub makes of headings. */
function headings(text: string): string[] {
  return [...text.matchAll(/^#+ (.*)$/gm)].map((match) =>
    (match[1] as string)
      .toLowerCase()
      .replaceAll(/[^\p{L}\p{N} _-]/gu, '')
      .replaceAll(' ', '-'),
  );
}

describe('docs/architecture.md', () => {
  const text = page('docs/architecture.md');

  it('states the rooms and their imports as they are enforced', () => {
    const section = text.slice(text.indexOf('\n## Rooms'), text.indexOf('\n## One task'));
    const stated = rows(section).map(([room, , imports]) => [
      codes(room)[0],
      imports === 'everything' ? ['*'] : codes(imports),
    ]);
    const enforced = Object.entries(ROOMS).map(([room, { rooms: imports, packages = [] }]) => [
      room,
      [...imports, ...packages],
    ]);
    expect(stated).toEqual(enforced);
  });

  const walk = rows(text.slice(text.indexOf('\n## One task'), text.indexOf('\n## What is stored')));

  it('walks a task through the code', () => expect(walk.length).toBeGreaterThan(40));

  it('cites invariants that are stated in the files of their row', () => {
    const missing = walk.flatMap((row) => {
      const files = row.flatMap(codes).filter((name) => name.endsWith('.ts') && name.includes('/'));
      const stated = files.map(page).join('\n');
      const cited = (row[2] ?? '').replaceAll(/`[^`]*`/g, '').matchAll(/\b([A-Z])(\d)(?:–\1(\d))?/g);
      return [...cited].flatMap(([, letter = '', from, to = from]) => {
        const numbers = Array.from({ length: Number(to) - Number(from) + 1 }, (_, i) => `${letter}${Number(from) + i}`);
        return numbers.filter((name) => !stated.includes(`${name}. `)).map((name) => `${row[0] ?? ''}: ${name}`);
      });
    });
    expect(missing).toEqual([]);
  });

  it('names functions that stand in the files that it names', () => {
    const missing = rows(text).flatMap(([file, look]) => {
      const [name = ''] = codes(file);
      if (!name.endsWith('.ts')) return [];
      const code = page(name);
      const functions = codes(look).filter((word) => word.endsWith('()')).map((word) => word.slice(0, -2)); // prettier-ignore
      return functions.filter((word) => !code.includes(`${word}(`)).map((word) => `${name}: ${word}`);
    });
    expect(missing).toEqual([]);
  });
});

describe('README.md', () => {
  it('shows the first handler as it is', () => {
    expect(page('README.md')).toContain(`\`\`\`ts\n${page('examples/first-handler.ts')}\`\`\``);
  });
});

describe('docs/decisions/0001-dependencies.md', () => {
  it('gives the reason of every dependency, and of nothing else', () => {
    const used = globSync(['package.json', '{apps,libs}/**/package.json'], { cwd: ROOT, exclude: ['**/node_modules'] })
      .map((file) => JSON.parse(page(file)) as Record<string, Record<string, string> | undefined>)
      .flatMap(({ dependencies, devDependencies }) => Object.keys({ ...dependencies, ...devDependencies }))
      .filter((name) => !name.startsWith('@belfry/'));
    const stated = rows(page('docs/decisions/0001-dependencies.md')).map(([name]) => codes(name)[0] as string);
    expect(stated.toSorted()).toEqual([...new Set(used)].toSorted());
  });
});
