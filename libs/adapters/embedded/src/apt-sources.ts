import { existsSync, readFileSync, readdirSync } from 'node:fs';
import path from 'node:path';

interface Source {
  readonly uris: readonly string[];
  readonly suites: readonly string[];
  readonly components: readonly string[];
}

/**
 * The addresses of Debian's own archive in this system's apt sources: those that serve `main` of the release that is
 * installed. None where the system is not Debian.
 */
export function debianMirrors(aptFolder: string, osRelease: string): string[] {
  const codename = /^VERSION_CODENAME="?([a-z]+)"?$/m.exec(osRelease)?.[1];
  const suites = [...(codename === undefined ? [] : [codename]), 'stable', 'testing', 'unstable', 'sid'];
  if (!/^ID="?debian"?$/m.test(osRelease)) return [];
  const uris = aptSources(aptFolder)
    .filter((source) => source.components.includes('main') && source.suites.some((suite) => suites.includes(suite)))
    .flatMap((source) => source.uris);
  // Third parties may name their suites after Debian's releases; the archive's path ends in `debian` nearly everywhere.
  const likely = (uri: string): number => (/\/debian\/?$/.test(uri) ? 0 : 1);
  return [...new Set(uris)].sort((a, b) => likely(a) - likely(b)).slice(0, 3);
}

function aptSources(folder: string): Source[] {
  const parts = path.join(folder, 'sources.list.d');
  const names = existsSync(parts)
    ? readdirSync(parts)
        .sort()
        .map((name) => path.join(parts, name))
    : [];
  return [path.join(folder, 'sources.list'), ...names]
    .filter((file) => existsSync(file))
    .flatMap((file) => {
      const text = readFileSync(file, 'utf8');
      if (file.endsWith('.sources')) return parseStanzas(text);
      return file.endsWith('.list') ? parseLines(text) : [];
    });
}

/** The one-line format: `deb [options] uri suite component…`. */
export function parseLines(text: string): Source[] {
  const sources: Source[] = [];
  for (const line of text.split('\n')) {
    const match = /^\s*deb\s+(?:\[[^\]]*\]\s*)?(\S+)\s+(\S+)\s*([^#]*)/.exec(line);
    if (match === null) continue;
    const [, uri = '', suite = '', components = ''] = match;
    sources.push({ uris: [uri], suites: [suite], components: words(components) });
  }
  return sources;
}

/** The stanza format (deb822): fields with continuation lines, comments between them. */
export function parseStanzas(text: string): Source[] {
  const sources: Source[] = [];
  const withoutComments = text.replace(/^#.*\n?/gm, '');
  for (const stanza of withoutComments.split(/\n\s*\n/)) {
    const fields = new Map<string, string>();
    for (const match of stanza.matchAll(/^([A-Za-z-]+):([^\n]*(?:\n[ \t][^\n]*)*)/gm)) {
      fields.set((match[1] ?? '').toLowerCase(), match[2] ?? '');
    }
    if (!words(fields.get('types')).includes('deb') || fields.get('enabled')?.trim().toLowerCase() === 'no') continue;
    sources.push({
      uris: words(fields.get('uris')),
      suites: words(fields.get('suites')),
      components: words(fields.get('components')),
    });
  }
  return sources;
}

function words(text: string | undefined): string[] {
  return (text ?? '').split(/\s+/).filter((word) => word !== '');
}
