// What a Node program does with dockerode: ping, pull, run, streams, exec, build, logs, stats, events, files, removal.
// The engine is the one of DOCKER_HOST. Prints a line for each step; the first that is wrong ends it.
'use strict';
const assert = require('assert');
const { PassThrough } = require('stream');
const Docker = require('dockerode');

const docker = new Docker({ socketPath: process.env.DOCKER_HOST.replace('unix://', '') });
const IMAGE = 'busybox:latest';

function collected() {
  const stream = new PassThrough();
  const parts = [];
  stream.on('data', (part) => parts.push(part));
  stream.text = () => Buffer.concat(parts).toString();
  return stream;
}

const ended = (stream) => new Promise((resolve, reject) => stream.on('end', resolve).on('close', resolve).on('error', reject));
const followed = (stream) =>
  new Promise((resolve, reject) => docker.modem.followProgress(stream, (error, said) => (error ? reject(error) : resolve(said))));

const steps = {
  async 'ping, version and info'() {
    assert.strictEqual((await docker.ping()).toString(), 'OK');
    assert.strictEqual((await docker.version()).Os, 'linux');
    assert.ok((await docker.info()).Containers >= 0);
  },
  async 'a pull with progress'() {
    const said = await followed(await docker.pull(IMAGE));
    assert.ok(said.length > 1 && said.some((line) => /Status: /.test(line.status)), JSON.stringify(said));
  },
  async 'run: two streams and an exit code'() {
    const [out, err] = [collected(), collected()];
    const command = ['sh', '-c', 'echo out; echo err >&2; exit 3'];
    const [result, container] = await docker.run(IMAGE, command, [out, err], { Tty: false });
    assert.deepStrictEqual([result.StatusCode, out.text(), err.text()], [3, 'out\n', 'err\n']);
    await container.remove();
  },
  async 'attach: stdin that ends, output after it'() {
    const container = await docker.createContainer({
      Image: IMAGE, Cmd: ['sh', '-c', 'cat; sleep 0.2; echo later'], OpenStdin: true, StdinOnce: true,
      AttachStdin: true, AttachStdout: true, AttachStderr: true,
    });
    const stream = await container.attach({ stream: true, stdin: true, stdout: true, stderr: true, hijack: true });
    const [out, err] = [collected(), collected()];
    container.modem.demuxStream(stream, out, err);
    await container.start();
    stream.end('x'.repeat(100000) + '\n');
    await ended(stream);
    assert.strictEqual((await container.wait()).StatusCode, 0);
    assert.strictEqual(out.text(), 'x'.repeat(100000) + '\nlater\n');
    assert.strictEqual((await container.logs({ stdout: true })).length > 100000, true);
    await container.remove();
  },
  async 'exec with stdin, its exit code, files in and out, stats, top'() {
    const container = await docker.createContainer({ Image: IMAGE, Cmd: ['sleep', '1000'], name: 'dockerode-runs' });
    await container.start();
    const exec = await container.exec({ Cmd: ['sh', '-c', 'wc -c; exit 5'], AttachStdin: true, AttachStdout: true });
    const stream = await exec.start({ hijack: true, stdin: true });
    const out = collected();
    docker.modem.demuxStream(stream, out, out);
    stream.end('twelve bytes');
    await ended(stream);
    assert.strictEqual(out.text().trim(), '12');
    assert.strictEqual((await exec.inspect()).ExitCode, 5);
    const archive = collected();
    const got = await container.getArchive({ path: '/etc/passwd' });
    got.pipe(archive);
    await ended(archive);
    assert.ok(archive.text().includes('root:'));
    assert.ok((await container.stats({ stream: false })).memory_stats.usage > 0);
    assert.ok((await container.top()).Processes.length === 1);
    await container.remove({ force: true });
  },
  async 'a build, with its progress and its result'() {
    const pack = require('tar-fs').pack(process.env.CONTEXT);
    const said = await followed(await docker.buildImage(pack, { t: 'dockerode:built', buildargs: { WORD: 'given' } }));
    assert.ok(said.some((line) => /Successfully tagged/.test(line.stream || '')), JSON.stringify(said));
    const out = collected();
    const [result, container] = await docker.run('dockerode:built', [], out);
    assert.deepStrictEqual([result.StatusCode, out.text().trim()], [0, 'given']);
    await container.remove();
    await docker.getImage('dockerode:built').remove();
  },
  async 'events, networks and volumes'() {
    const events = await docker.getEvents({ filters: { type: ['volume'] } });
    const first = new Promise((resolve) => events.once('data', (data) => resolve(JSON.parse(data))));
    await docker.createVolume({ Name: 'dockerode-kept' });
    assert.strictEqual((await first).Actor.ID, 'dockerode-kept');
    events.destroy();
    await docker.getVolume('dockerode-kept').remove();
    const network = await docker.createNetwork({ Name: 'dockerode-net' });
    assert.strictEqual((await network.inspect()).Name, 'dockerode-net');
    await network.remove();
  },
  async 'errors with their status'() {
    await assert.rejects(docker.getContainer('nosuch').inspect(), { statusCode: 404, reason: 'no such container' });
    await assert.rejects(docker.createContainer({ Image: 'nosuch:1' }), { statusCode: 404 });
  },
};

(async () => {
  for (const [name, step] of Object.entries(steps)) {
    await step();
    console.log(`passed: ${name}`);
  }
})().catch((error) => {
  console.error(error);
  process.exit(1);
});
