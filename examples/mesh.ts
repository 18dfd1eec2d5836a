/** A mesh of a few peers in one program: a private name, loopback, homes that go when it ends. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { createPeer } from '../src/index.ts' // in your own program: from 'weft-mesh'
import type { Peer } from '../src/index.ts'

interface Hop {
  readonly peer?: string
  readonly from: number
  readonly to: number
}

export interface Mesh extends AsyncDisposable {
  /** The one that is asked, and that brings the model. */
  readonly peer: Peer
  /** In the order of the names. */
  readonly peers: readonly Peer[]
  /** Goes when the mesh does. */
  readonly folder: string
  /** Who computed which blocks: `alice[0:35] -> bob[35:70]`. */
  routeOf(answer: { readonly route: readonly Hop[] }): string
}

/** @param network keeps others on this machine out */
export async function startMesh(network: string, names: readonly [string, ...string[]]): Promise<Mesh> {
  const folder = await mkdtemp(join(tmpdir(), 'weft-example-'))
  const peers: Peer[] = []
  const stop = async (): Promise<void> => {
    await Promise.all(peers.map((peer) => peer.stop()))
    await rm(folder, { recursive: true, force: true })
  }
  try {
    for (const name of names) {
      const bootstrap = peers[0]?.status().peer.addresses ?? []
      const listen = ['/ip4/127.0.0.1/tcp/0']
      const home = join(folder, name)
      peers.push(await createPeer({ home, name, network, lan: 'off', listen, bootstrap, threads: 1 }))
    }
    const [peer] = peers as [Peer]
    const others = (): number => peer.status().peers.filter(({ state }) => state === 'connected').length
    while (others() < names.length - 1) await setTimeout(20)
    const nameOf = new Map(peers.map(({ id }, index) => [id, names[index]]))
    const routeOf: Mesh['routeOf'] = ({ route }) =>
      route.map(({ peer: id, from, to }) => `${nameOf.get(id ?? '') ?? id}[${from}:${to}]`).join(' -> ')
    return { peer, peers, folder, routeOf, [Symbol.asyncDispose]: stop }
  } catch (error) {
    await stop()
    throw error
  }
}
