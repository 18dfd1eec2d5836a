/** Serves manifests and blobs to other peers: a few channels each, a bounded number in all. */
import type { Channel, Network } from '../net/index.ts'
import { NO_MANIFEST } from './blob-answers.ts'
import { BLOB_PROTOCOLS, refusalFrame } from './blob-wire.ts'
import type { BlobVersion } from './blob-wire.ts'
import { MAX_CHANNELS, MAX_CHANNELS_PER_PEER, MAX_CHUNKS_IN_MEMORY } from './limits.ts'
import { serveChannel } from './served-channel.ts'
import type { ServingNeeds } from './served-channel.ts'
import type { BlobWanted } from './needs.ts'
import { createSlots } from './slots.ts'

export interface BlobServerNeeds extends Omit<ServingNeeds, 'serves' | 'whyNot'> {
  readonly network: Network
  readonly mayHave: (peer: string, wanted: BlobWanted) => boolean | string
}

export interface BlobServer {
  start(): void
  stop(): Promise<void>
}

export function createBlobServer(needs: BlobServerNeeds): BlobServer {
  const slots = createSlots(MAX_CHUNKS_IN_MEMORY)
  const channels = new Set<Channel>()
  let running = false

  const accept = (channel: Channel, version: BlobVersion): void => {
    const ofPeer = [...channels].filter(({ remote }) => remote === channel.remote).length
    if (!running || channels.size >= MAX_CHANNELS || ofPeer >= MAX_CHANNELS_PER_PEER) {
      void turnAway(channel)
      return
    }
    channels.add(channel)
    void channel.closed.then(() => channels.delete(channel))
    const { remote } = channel
    const own: ServingNeeds = {
      ...needs,
      serves: (address) => needs.mayHave(remote, { address }) === true,
      loadManifest: (digest) => needs.loadManifest(digest),
      whyNot: (digest) => {
        const may = needs.mayHave(remote, { manifest: digest })
        return typeof may === 'string' ? may : may ? undefined : NO_MANIFEST
      },
    }
    serveChannel(own, channel, version, slots)
  }

  return {
    start() {
      running = true
      for (const [version, protocol] of BLOB_PROTOCOLS) {
        needs.network.handle(protocol, 'fetch', (channel) => accept(channel, version))
      }
    },
    async stop() {
      running = false
      for (const channel of channels) channel.abort(new Error('the mesh is ending'))
      await Promise.all([...channels].map(({ closed }) => closed))
    },
  }
}

async function turnAway(channel: Channel): Promise<void> {
  channel.onFrame(() => undefined)
  await channel.send(refusalFrame(0, { reason: 'busy', why: 'too many transfers' })).catch(() => undefined)
  await channel.close()
}
