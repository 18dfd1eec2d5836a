/** Serves manifests and blobs: a few channels a peer, one answer at a time on each, as many pieces as the client asks. */
import type { Channel, Frame, Network } from '../net/index.ts'
import type { CancelTimer, Clock } from '../util/index.ts'
import { answerQuestion } from './blob-answers.ts'
import type { AnswerNeeds } from './blob-answers.ts'
import { BLOB, BLOB_PROTOCOL, pieceFrames, readQuestion, refusalFrame } from './blob-wire.ts'
import type { BlobQuestion } from './blob-wire.ts'
import { MeshProtocolError } from './errors.ts'
import {
  CREDIT_PIECES,
  HOLDER_STALL_MS,
  IDLE_CHANNEL_MS,
  MAX_CHANNELS,
  MAX_CHANNELS_PER_PEER,
  MAX_CHUNKS_IN_MEMORY,
  MAX_CREDITS,
  MAX_WAITING_REQUESTS,
} from './limits.ts'
import type { MeshCount, MeshLogger } from './needs.ts'
import { createSlots } from './slots.ts'
import type { Slots } from './slots.ts'

export interface BlobServerNeeds extends AnswerNeeds {
  readonly network: Network
  readonly clock: Clock
  readonly count: MeshCount
  readonly logger: MeshLogger
}

export interface BlobServer {
  start(): void
  stop(): Promise<void>
}

export function createBlobServer(needs: BlobServerNeeds): BlobServer {
  const slots = createSlots(MAX_CHUNKS_IN_MEMORY)
  const channels = new Set<Channel>()
  let running = false

  const accept = (channel: Channel): void => {
    const ofPeer = [...channels].filter(({ remote }) => remote === channel.remote).length
    if (!running || channels.size >= MAX_CHANNELS || ofPeer >= MAX_CHANNELS_PER_PEER) {
      const busy = refusalFrame(0, { reason: 'busy', why: 'too many transfers' })
      void channel
        .send(busy)
        .catch(() => undefined)
        .then(() => channel.close())
      return
    }
    channels.add(channel)
    void channel.closed.then(() => channels.delete(channel))
    serveChannel(needs, channel, slots)
  }

  return {
    start() {
      running = true
      needs.network.handle(BLOB_PROTOCOL, 'fetch', accept)
    },
    async stop() {
      running = false
      for (const channel of channels) channel.abort(new Error('the mesh is ending'))
      await Promise.all([...channels].map(({ closed }) => closed))
    },
  }
}

interface Asked {
  readonly request: number
  readonly question: BlobQuestion
}

function serveChannel(needs: BlobServerNeeds, channel: Channel, slots: Slots): void {
  const { clock } = needs
  const waiting: Asked[] = []
  let current: number | undefined
  let cancelled = false
  let credits = CREDIT_PIECES
  let credited: (() => void) | undefined
  let ended = false
  let idle: CancelTimer | undefined

  const rest = (): void => {
    idle?.()
    idle = clock.after(IDLE_CHANNEL_MS, () => {
      if (current === undefined) void channel.close()
      else rest()
    })
  }
  rest()
  void channel.closed.then(() => {
    ended = true
    idle?.()
    credited?.()
    waiting.length = 0
  })

  const credit = async (): Promise<void> => {
    if (credits > 0 || ended) return
    const cancelTimer = clock.after(HOLDER_STALL_MS, () => {
      channel.abort(new MeshProtocolError(channel.remote, 'it asked for a chunk and did not take it'))
    })
    await new Promise<void>((resolve) => (credited = resolve))
    cancelTimer()
  }

  const send = async (request: number, answer: Uint8Array): Promise<void> => {
    for (const piece of pieceFrames(request, answer)) {
      await credit()
      if (ended || cancelled) return
      credits -= 1
      await channel.send(piece)
      needs.count('blob_bytes_served', piece.payload.length)
    }
  }

  const answer = async ({ request, question }: Asked): Promise<void> => {
    const release = await slots.take()
    try {
      const reply = await answerQuestion(needs, question)
      if (ended || cancelled) return
      if ('reason' in reply) await channel.send(refusalFrame(request, reply))
      else {
        await send(request, reply.content)
        if (reply.last) needs.count('blobs_served')
      }
    } catch (error) {
      if (ended) return
      needs.logger.warn({ err: error, peer: channel.remote }, 'could not serve a blob')
      await channel.send(refusalFrame(request, { reason: 'failed', why: 'it could not be read' }))
    } finally {
      release()
    }
  }

  const work = async (): Promise<void> => {
    if (current !== undefined) return
    for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
      current = next.request
      cancelled = false
      await answer(next).catch(() => undefined)
      rest()
    }
    current = undefined
  }

  const cancel = (request: number): void => {
    const at = waiting.findIndex((asked) => asked.request === request)
    if (at >= 0) waiting.splice(at, 1)
    if (current === request) {
      cancelled = true
      credited?.()
    }
  }

  const onQuestion = (message: Frame): void => {
    const question = readQuestion(message)
    if (question === undefined) throw new MeshProtocolError(channel.remote, 'its question is malformed')
    if (waiting.length >= MAX_WAITING_REQUESTS) throw new MeshProtocolError(channel.remote, 'it asks too much at once')
    rest()
    waiting.push({ request: message.request, question })
    void work()
  }

  channel.onFrame((message) => {
    if (message.type === BLOB.credit) {
      credits = Math.min(MAX_CREDITS, credits + message.step)
      if (credits > 0) credited?.()
    } else if (message.type === BLOB.cancel) cancel(message.request)
    else onQuestion(message)
  })
}
