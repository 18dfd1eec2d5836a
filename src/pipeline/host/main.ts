/**
 * The program of a stage host: a child process that computes one model's stages for its peer (DESIGN decision 5). It
 * speaks frames over file descriptor 3, and ends by itself when the peer is gone.
 */
import { readFile } from 'node:fs/promises'
import { flushCompileCache } from 'node:module'
import { Socket } from 'node:net'
import { errorData } from '../../errors.ts'
import { checkManifest } from '../../models/index.ts'
import { channelToOwn, decodeControl, encodeControl, frame } from '../../net/index.ts'
import type { Channel, Frame } from '../../net/index.ts'
import { createOrtEngine } from '../../onnx/index.ts'
import type { Engine } from '../../onnx/index.ts'
import { createBlobStore } from '../../store/index.ts'
import { systemClock } from '../../util/index.ts'
import type { Clock } from '../../util/index.ts'
import { Parts } from './parts.ts'
import { HOST } from './protocol.ts'
import type { LoadControl, LoadedControl, OpenControl } from './protocol.ts'
import { StageRuntime } from './runtime.ts'

const PEER_SOCKET = 3

function main(): void {
  const channel = channelToOwn(new Socket({ fd: PEER_SOCKET }), 'peer')
  const clock = systemClock()
  const host: Host = { channel, clock, emit: (value) => void channel.send(value).catch(() => undefined) }
  channel.onFrame(async (message) => {
    if (message.type === HOST.load) await load(host, message)
    else serve(host, message)
  })
  // The peer is gone: nobody is left to compute for.
  void channel.closed.then(() => process.exit(0))
  // Ctrl-C in a terminal reaches the whole process group; the peer decides when its hosts end.
  process.on('SIGINT', () => undefined)
}

interface Host {
  readonly channel: Channel
  readonly clock: Clock
  readonly emit: (value: Frame) => void
  parts?: Parts
  runtime?: StageRuntime
}

/** The first call makes the runtime, later ones add ranges to it; sessions go on. */
async function load(host: Host, message: Frame): Promise<void> {
  const answer = (type: number, value: unknown): void =>
    host.emit(frame({ type, request: message.request, control: encodeControl(value) }))
  try {
    const control = decodeControl(message.control) as LoadControl
    const started = host.clock.now()
    const engine = createOrtEngine()
    host.parts ??= await createParts(host, engine, control)
    const before = host.parts.packed
    for (const [from, to] of control.ranges) await host.parts.load(from, to)
    const loaded: LoadedControl = {
      kernel: engine.kernelId,
      loadMs: host.clock.now() - started,
      packed: host.parts.packed - before,
      prepacked: host.parts.plain.size === 0,
    }
    answer(HOST.loaded, loaded)
    // Node does so at the end of a process, and few hosts end by themselves.
    flushCompileCache()
  } catch (error) {
    answer(HOST.refused, errorData(error))
  }
}

async function createParts(host: Host, engine: Engine, control: LoadControl): Promise<Parts> {
  const manifest = checkManifest(JSON.parse(await readFile(control.manifestPath, 'utf8')))
  const store = await createBlobStore({ directory: control.storeDirectory })
  const { clock } = host
  const options = { threads: control.threads }
  const { storeDirectory, cacheDirectory } = control
  const parts = new Parts({ engine, clock, options, store, storeDirectory, cacheDirectory }, manifest)
  host.runtime = new StageRuntime({ clock, manifest, parts, kvBytes: control.kvBytes, emit: host.emit })
  return parts
}

function serve(host: Host, message: Frame): void {
  const { runtime } = host
  if (runtime === undefined) return
  if (message.type === HOST.open) runtime.open(message, decodeControl(message.control) as OpenControl)
  else if (message.type === HOST.run) runtime.run(message)
  else if (message.type === HOST.close) runtime.close(message)
  else if (message.type === HOST.stats) {
    host.emit(frame({ type: HOST.statsReply, request: message.request, control: encodeControl(runtime.stats()) }))
  }
}

main()
