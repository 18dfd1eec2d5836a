/**
 * The program of a training host: a child process that computes steps over the frozen blocks of one model for its peer
 * (DESIGN decision 5). It speaks frames over file descriptor 3, and ends by itself when the peer is gone.
 */
import { readFile } from 'node:fs/promises'
import { Socket } from 'node:net'
import { errorData } from '../../../errors.ts'
import { channelToOwn, encodeControl, frame } from '../../../net/index.ts'
import type { Channel } from '../../../net/index.ts'
import type { ModelManifest } from '../../../models/index.ts'
import { createOrtEngine } from '../../../onnx/index.ts'
import { createBlobStore } from '../../../store/index.ts'
import { FrozenBlocks } from '../../../training/index.ts'
import { systemClock } from '../../../util/index.ts'
import { messageFrames, MessageReader } from '../../graph/messages.ts'
import type { Message } from '../../graph/messages.ts'
import { MAX_TRAIN_BYTES, TRAIN_HOST } from './protocol.ts'
import type { LoadTraining } from './protocol.ts'
import { TrainRuntime } from './runtime.ts'
import type { Answer } from './runtime.ts'
import { SIGN_MS } from './signs-of-life.ts'

const PEER_SOCKET = 3

function main(): void {
  const channel = channelToOwn(new Socket({ fd: PEER_SOCKET }), 'peer')
  const reader = new MessageReader(MAX_TRAIN_BYTES)
  let runtime: Promise<TrainRuntime> | undefined
  channel.onFrame((part) => {
    const message = reader.take(part)
    if (message === null) return
    if (message.head.type === TRAIN_HOST.load) {
      runtime = load(message.control as unknown as LoadTraining)
      answer(
        channel,
        message,
        runtime.then(() => ({ control: { pid: process.pid }, tensors: new Map() })),
      )
    } else
      answer(
        channel,
        message,
        Promise.resolve(runtime).then((ready) => ready!.ask(message)),
      )
  })
  signs(channel).catch(() => undefined)
  // The peer is gone: nobody is left to compute for.
  void channel.closed.then(() => process.exit(0))
  // Ctrl-C in a terminal reaches the whole process group; the peer decides when its hosts end.
  process.on('SIGINT', () => undefined)
}

async function load({ manifestPath, storeDirectory, folder, threads }: LoadTraining): Promise<TrainRuntime> {
  const manifest = JSON.parse(await readFile(manifestPath, 'utf8')) as ModelManifest
  const store = await createBlobStore({ directory: storeDirectory, readOnly: true })
  const options = { threads, optimization: 'basic' as const }
  return new TrainRuntime(new FrozenBlocks({ engine: createOrtEngine(), folder, options, store, manifest }))
}

/** A run of a layer holds them up: the peer counts with that. */
async function signs(channel: Channel): Promise<void> {
  for (const clock = systemClock(); ;) {
    await clock.sleep(SIGN_MS)
    await channel.send(frame({ type: TRAIN_HOST.alive }))
  }
}

function answer(channel: Channel, { head: { request } }: Message, made: Promise<Answer>): void {
  made
    .then(({ control, tensors }) =>
      Promise.all(
        Array.from(messageFrames({ type: TRAIN_HOST.done, request, control }, tensors), (part) => channel.send(part)),
      ),
    )
    .catch((error: unknown) =>
      channel.send(frame({ type: TRAIN_HOST.failed, request, control: encodeControl(errorData(error)) })),
    )
    .catch(() => undefined)
}

main()
