/**
 * The program of a graph host: a child process that runs one ONNX file for its peer (DESIGN decision 5). It speaks frames
 * over file descriptor 3. A thread beside the work ends it with its parent, and when it holds too much memory: the file
 * may be anybody's, and a graph that loops for ever keeps this thread from hearing anything.
 */
import { Socket } from 'node:net'
import { errorData } from '../../../errors.ts'
import { channelToOwn, decodeControl, encodeControl, frame } from '../../../net/index.ts'
import type { Channel, Frame } from '../../../net/index.ts'
import { createOrtEngine } from '../../../onnx/index.ts'
import { guardProcess, systemClock } from '../../../util/index.ts'
import { MessageReader } from '../messages.ts'
import { HostMemory } from '../shared/host-memory.ts'
import { GRAPH, MAX_RUN_BYTES } from './protocol.ts'
import type { LoadGraph } from './protocol.ts'
import { GraphRuntime } from './runtime.ts'

const PEER_SOCKET = 3
/** Of the segments of shared memory: after the socket and the lifeline. */
const FIRST_SEGMENT = 5

function main(): void {
  guardProcess({ memory: Number(process.argv[2]) })
  const channel = channelToOwn(new Socket({ fd: PEER_SOCKET }), 'peer')
  const needs = {
    clock: systemClock(),
    engine: createOrtEngine(),
    memory: sharedMemory(),
    send: (part: Frame) => channel.send(part),
  }
  const runtime = new GraphRuntime(needs)
  const reader = new MessageReader(MAX_RUN_BYTES)
  channel.onFrame(async (part) => {
    if (part.type === GRAPH.load) await load(channel, runtime, part)
    else serve(channel, runtime, reader, part)
  })
  // The peer is gone, or said what is no frame: nobody is left to compute for.
  void channel.closed.then(() => process.exit(0))
  // Ctrl-C in a terminal reaches the whole process group; the peer decides when its hosts end.
  process.on('SIGINT', () => undefined)
}

/** Arguments after the limit on memory: the number of segments, and which is this host's own. */
function sharedMemory(): HostMemory | null {
  const [segments, own] = process.argv.slice(3).map(Number) as [number?, number?]
  if (segments === undefined || segments === 0) return null
  return new HostMemory(
    own!,
    Array.from({ length: segments }, (_, index) => FIRST_SEGMENT + index),
  )
}

async function load(channel: Channel, runtime: GraphRuntime, part: Frame): Promise<void> {
  const answer = (type: number, value: unknown): void =>
    void channel.send(frame({ type, request: part.request, control: encodeControl(value) })).catch(() => undefined)
  try {
    answer(GRAPH.loaded, await runtime.load(decodeControl(part.control) as LoadGraph))
  } catch (error) {
    answer(GRAPH.refused, errorData(error))
  }
}

function serve(channel: Channel, runtime: GraphRuntime, reader: MessageReader, part: Frame): void {
  const { type, request } = part
  const answer = (kind: number, value: unknown): void =>
    void channel.send(frame({ type: kind, request, control: encodeControl(value) })).catch(() => undefined)
  if (type === GRAPH.stats) answer(GRAPH.statsReply, runtime.stats())
  else if (type === GRAPH.close) runtime.close(request)
  else if (type === GRAPH.run) {
    try {
      const message = reader.take(part)
      if (message !== null) runtime.run(message)
    } catch (error) {
      answer(GRAPH.error, errorData(error))
    }
  }
}

main()
