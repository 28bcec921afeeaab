/** What may stand before the host: scheme, user, password. And what comes after it: database, parameters. */
const PARTS = /^([a-z]+:\/\/(?:[^@/?]*@)?)([^/?]*)(.*)$/;

/**
 * One URL for each server of `postgres://user:password@one:5432,two:5432/database`: a primary and its stand-bys, in any order. What is
 * no such URL is returned as it is.
 */
export function urlsOfHosts(url: string): readonly string[] {
  const [, before, hosts, after] = PARTS.exec(url) ?? [];
  if (hosts === undefined || !hosts.includes(',')) return [url];
  return hosts.split(',').map((host) => `${before}${host}${after}`);
}

/** The servers' addresses without user and password, for people. */
export function placesOf(url: string): string {
  const places = urlsOfHosts(url).map((one) => (URL.canParse(one) ? new URL(one).host : ''));
  return places.includes('') ? 'the given address' : places.join(',');
}
