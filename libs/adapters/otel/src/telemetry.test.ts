import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

import { afterEach, describe, expect, it, vi } from 'vitest';

import { startSpan } from './open-span.ts';
import { asksForTraces, startTelemetry } from './telemetry.ts';
import { startTestSdk } from './test-sdk.ts';
import { startCollector } from './testing.ts';

const INDEX = fileURLToPath(new URL('./index.ts', import.meta.url));

function setEnv(env: { readonly [name: string]: string }): void {
  for (const name of Object.keys(process.env)) if (name.startsWith('OTEL_')) vi.stubEnv(name, undefined);
  for (const [name, value] of Object.entries(env)) vi.stubEnv(name, value);
}

afterEach(() => void vi.unstubAllEnvs());

describe('asking for traces', () => {
  it.each([
    { OTEL_TRACES_EXPORTER: 'otlp' },
    { OTEL_TRACES_EXPORTER: 'console' },
    { OTEL_EXPORTER_OTLP_ENDPOINT: 'http://collector:4318' },
    { OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: 'http://collector:4318/v1/traces' },
    { OTEL_CONFIG_FILE: 'otel.yaml' },
    { OTEL_SDK_DISABLED: 'false', OTEL_TRACES_EXPORTER: 'otlp' },
  ])('is done by %j', (env) => expect(asksForTraces(env)).toBe(true));

  it.each([
    {},
    { OTEL_SERVICE_NAME: 'belfry' },
    { OTEL_TRACES_EXPORTER: '' },
    { OTEL_TRACES_EXPORTER: 'none', OTEL_EXPORTER_OTLP_ENDPOINT: 'http://collector:4318' },
    { OTEL_EXPORTER_OTLP_ENDPOINT: ' ' },
    { OTEL_METRICS_EXPORTER: 'otlp' },
    { OTEL_SDK_DISABLED: 'true', OTEL_TRACES_EXPORTER: 'otlp' },
    { OTEL_SDK_DISABLED: 'TRUE', OTEL_CONFIG_FILE: 'otel.yaml' },
  ])('is not done by %j', (env) => expect(asksForTraces(env)).toBe(false));
});

describe('what is loaded', () => {
  /** The OpenTelemetry packages that a process has loaded after it started telemetry. */
  async function loaded(env: { readonly [name: string]: string }): Promise<string[]> {
    const program = `
      import { registerHooks } from 'node:module';
      const packages = new Set();
      registerHooks({
        load: (url, context, next) => {
          const name = /node_modules\\/(@opentelemetry\\/[^/]+)/.exec(url)?.[1];
          if (name !== undefined) packages.add(name);
          return next(url, context);
        },
      });
      const { startTelemetry } = await import(${JSON.stringify(INDEX)});
      const telemetry = await startTelemetry('test', console.error);
      await telemetry.stop();
      console.log(JSON.stringify([...packages]));`;
    const { PATH } = process.env;
    const args = ['--input-type=module', '-e', program];
    const { stdout } = await promisify(execFile)(process.execPath, args, { env: { PATH, ...env } });
    return JSON.parse(stdout) as string[];
  }

  it('is the API alone while no variable asks for an exporter', async () => {
    expect(await loaded({})).toEqual(['@opentelemetry/api']);
  });

  it('is the SDK too when one does', async () => {
    expect(await loaded({ OTEL_TRACES_EXPORTER: 'console' })).toContain('@opentelemetry/sdk-node');
  });
});

describe('with a collector', () => {
  it('gets every span on stop, and nothing but spans', async () => {
    await using collector = await startCollector();
    setEnv({ ...collector.env, OTEL_BSP_SCHEDULE_DELAY: '3600000' });
    const warn = vi.fn();
    const telemetry = await startTelemetry('belfry-test', warn);
    startSpan('tasks.create', { attributes: { 'belfry.namespace': 'acme' } }).end(new Error('refused'));
    await telemetry.stop();
    await telemetry.stop();
    expect(collector.spans).toMatchObject([
      { service: 'belfry-test', name: 'tasks.create', attributes: { 'belfry.namespace': 'acme' }, failed: true },
    ]);
    expect([...collector.paths]).toEqual(['/v1/traces']);
    expect(warn).not.toHaveBeenCalled();
  });

  it('is told of the process what may be known: not its command line', async () => {
    await using collector = await startCollector();
    setEnv({ ...collector.env, OTEL_RESOURCE_ATTRIBUTES: 'deployment.environment.name=test' });
    const telemetry = await startTelemetry('belfry-test', vi.fn());
    startSpan('tasks.get', {}).end();
    await telemetry.stop();
    const [resource = {}] = collector.resources;
    expect(resource).toMatchObject({ 'deployment.environment.name': 'test', 'process.pid': process.pid });
    const names = Object.keys(resource).filter((name) => !name.startsWith('telemetry.sdk.'));
    expect(names.sort()).toEqual(['deployment.environment.name', 'host.name', 'process.pid', 'service.name']);
  });

  it.each([
    [{ OTEL_SERVICE_NAME: 'mine' }, 'mine'],
    [{ OTEL_RESOURCE_ATTRIBUTES: 'service.name=theirs' }, 'theirs'],
    [{ OTEL_SERVICE_NAME: 'mine', OTEL_RESOURCE_ATTRIBUTES: 'service.name=theirs' }, 'mine'],
  ])('takes the name of the service from %j', async (env, service) => {
    await using collector = await startCollector();
    setEnv({ ...collector.env, ...env });
    const telemetry = await startTelemetry('belfry-test', vi.fn());
    startSpan('tasks.get', {}).end();
    await telemetry.stop();
    expect(collector.spans).toMatchObject([{ service }]);
  });

  it('starts again after a stop', async () => {
    await using collector = await startCollector();
    setEnv(collector.env);
    for (const name of ['tasks.get', 'tasks.list']) {
      const telemetry = await startTelemetry('belfry-test', vi.fn());
      startSpan(name, {}).end();
      await telemetry.stop();
    }
    expect(collector.spans.map(({ name }) => name)).toEqual(['tasks.get', 'tasks.list']);
  });
});

describe('with nobody who listens', () => {
  it('says so, and goes on', async () => {
    const server = createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    await new Promise((resolve) => server.close(resolve));
    setEnv({ OTEL_EXPORTER_OTLP_ENDPOINT: `http://127.0.0.1:${port}` });
    const warn = vi.fn();
    const telemetry = await startTelemetry('belfry-test', warn);
    const span = startSpan('tasks.get', {});
    span.end();
    expect(span.traceparent).toMatch(/^00-/);
    await telemetry.stop();
    expect(warn).toHaveBeenCalled();
  });

  it('does not wait for a collector that never answers', async () => {
    const server = createServer(() => undefined).listen(0, '127.0.0.1');
    await once(server, 'listening');
    setEnv({ OTEL_EXPORTER_OTLP_ENDPOINT: `http://127.0.0.1:${(server.address() as AddressInfo).port}` });
    const warn = vi.fn();
    const telemetry = await startTelemetry('belfry-test', warn);
    startSpan('tasks.get', {}).end();
    await telemetry.stop();
    expect(warn).toHaveBeenCalledWith('the last spans could not be sent in time');
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  });

  it.each([
    { OTEL_EXPORTER_OTLP_ENDPOINT: 'not an address' },
    { OTEL_TRACES_EXPORTER: 'nonsense' },
    { OTEL_TRACES_EXPORTER: 'otlp', OTEL_EXPORTER_OTLP_PROTOCOL: 'nonsense' },
    { OTEL_TRACES_EXPORTER: 'otlp', OTEL_TRACES_SAMPLER: 'nonsense' },
    { OTEL_CONFIG_FILE: '/no/such/file.yaml' },
  ])('survives %j', async (env) => {
    setEnv(env);
    const telemetry = await startTelemetry('belfry-test', vi.fn());
    const span = startSpan('tasks.get', { parent: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00' });
    span.end();
    expect(span.traceparent).toMatch(/^00-0af7651916cd43dd8448eb211c80319c-/);
    await telemetry.stop();
  });

  it('leaves an SDK alone that is there already', async () => {
    await using collector = await startCollector();
    setEnv(collector.env);
    const theirs = startTestSdk();
    const telemetry = await startTelemetry('belfry-test', vi.fn());
    startSpan('tasks.get', {}).end();
    await telemetry.stop();
    startSpan('tasks.list', {}).end();
    expect(theirs.spans.map(({ name }) => name)).toEqual(['tasks.get', 'tasks.list']);
    expect(collector.spans).toEqual([]);
    await theirs.stop();
  });
});
