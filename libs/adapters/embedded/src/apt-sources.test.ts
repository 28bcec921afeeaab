import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';

import { describe, expect, it } from 'vitest';

import { debianMirrors } from './apt-sources.ts';
import { temporaryFolder } from './test-fixtures.ts';

const BOOKWORM = 'ID=debian\nVERSION_CODENAME=bookworm\n';

function mirrorsOf(files: Record<string, string>, osRelease = BOOKWORM): string[] {
  using folder = temporaryFolder();
  mkdirSync(path.join(folder.path, 'sources.list.d'));
  for (const [name, text] of Object.entries(files)) writeFileSync(path.join(folder.path, name), text);
  return debianMirrors(folder.path, osRelease);
}

describe("Debian's own mirrors in apt's sources", () => {
  it('are found in the one-line format, with options and comments', () => {
    const text = `
# deb http://commented.example/debian bookworm main
deb [arch=amd64 signed-by=/k.gpg] http://mirror.example/debian bookworm main contrib # ours
deb-src http://source.example/debian bookworm main
deb http://mirror.example/debian-security bookworm-security main
`;
    expect(mirrorsOf({ 'sources.list': text })).toEqual(['http://mirror.example/debian']);
  });

  it('are found in the stanza format, with comments, continuations and disabled stanzas', () => {
    const text = `Types: deb
# a comment
URIs: http://one.example/debian
  http://two.example/debian/
Suites: bookworm bookworm-updates
Components: main

Types: deb
URIs: http://off.example/debian
Suites: bookworm
Components: main
Enabled: no
`;
    expect(mirrorsOf({ 'sources.list.d/debian.sources': text })).toEqual([
      'http://one.example/debian',
      'http://two.example/debian/',
    ]);
  });

  it("come before third parties that use Debian's suite names", () => {
    const files = {
      'sources.list': 'deb http://vendor.example/linux bookworm main\ndeb http://mirror.example/debian bookworm main\n',
      'sources.list.d/other.list': 'deb http://vendor.example/apt bookworm stable\n',
      'sources.list.d/ignored.txt': 'deb http://ignored.example/debian bookworm main\n',
    };
    expect(mirrorsOf(files)).toEqual(['http://mirror.example/debian', 'http://vendor.example/linux']);
  });

  it('are none where the system is not Debian', () => {
    const text = 'deb http://mirror.example/ubuntu noble main\n';
    expect(mirrorsOf({ 'sources.list': text }, 'ID=ubuntu\nID_LIKE=debian\nVERSION_CODENAME=noble\n')).toEqual([]);
    expect(mirrorsOf({})).toEqual([]);
  });
});
