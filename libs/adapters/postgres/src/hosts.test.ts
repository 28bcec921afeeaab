import { expect, it } from 'vitest';

import { placesOf, urlsOfHosts } from './hosts.ts';

it('makes a URL of each server that one names', () => {
  expect(urlsOfHosts('postgres://me:se%40cret@one:5432,two:5433/belfry?sslmode=require')).toEqual([
    'postgres://me:se%40cret@one:5432/belfry?sslmode=require',
    'postgres://me:se%40cret@two:5433/belfry?sslmode=require',
  ]);
  expect(urlsOfHosts('postgresql://one,two')).toEqual(['postgresql://one', 'postgresql://two']);
});

it('leaves the URL of one server, and what is no URL, as it is', () => {
  for (const url of ['postgres://me:a,b@one/db', 'postgres://one/a,b', 'one,two'])
    expect(urlsOfHosts(url)).toEqual([url]);
});

it('names servers without their secrets', () => {
  expect(placesOf('postgres://me:secret@one:5432,two:5433/db')).toBe('one:5432,two:5433');
  expect(placesOf('me:secret@one')).toBe('the given address');
});
