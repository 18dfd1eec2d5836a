/** A fleet file in place of drawn devices and links (peers/README.md): who is fast, who has room, and what lies between. */
import { FleetFileError, parseFleet } from '../../src/placement/index.ts'
import type { Fleet, PlanPeer } from '../../src/placement/index.ts'
import type { Way } from './net/weather.ts'
import type { Device } from './peer.ts'

/** Of pairs that nothing is said of, as the planner has it: 1 ms, 100 MB/s. */
const UNKNOWN = { rtt: 1, bandwidth: 1e8, jitter: 0, loss: 0 }
/** `RUN_WORK` of src/peer/profile-predict.ts, for milliseconds: the toy's layers are small enough to be nothing else. */
const LAYER_WORK = 1.9e9
const LEAST_PEERS = 2

/** @throws FleetFileError, FleetPeerError, FleetLinkError; a mesh of one peer is none */
export function simulatedFleet(text: string, file: string): Fleet {
  const fleet = parseFleet(text, file)
  if (fleet.peers.length < LEAST_PEERS) throw new FleetFileError(file, 'a simulation needs two peers', 'peers')
  return { ...fleet, peers: inOrder(fleet) }
}

/** The two that keep the model come first: the origin, and who has the most room, so that a core can always hold it. */
function inOrder({ origin, peers }: Fleet): readonly PlanPeer[] {
  const first = peers.find(({ id }) => id === origin)!
  const others = peers.filter((peer) => peer !== first)
  const roomiest = others.reduce((most, peer) => (roomOf(peer) > roomOf(most) ? peer : most))
  return [first, roomiest, ...others.filter((peer) => peer !== roomiest)]
}

function roomOf({ memory, reserved }: PlanPeer): number {
  return Math.max(0, memory - reserved)
}

/**
 * @param room the least and the most that a peer has, as shares of the model: the model is a toy, so that memory counts in
 *   proportion to that of the roomiest
 */
export function fleetDevices(
  { peers }: Fleet,
  room: readonly [number, number],
): (Pick<Device, 'speed'> & { share: number })[] {
  const most = Math.max(1, ...peers.map(roomOf))
  return peers.map((peer) => {
    const layerMs = peer.blockMs ?? LAYER_WORK / (peer.speed * peer.threads)
    const share = Math.max(room[0], (room[1] * roomOf(peer)) / most)
    return { speed: { layerMs, headMs: layerMs / 2 }, share }
  })
}

/** By the places of two peers. Either direction of a pair stands for both. Relayed or not, a way is its figures. */
export function fleetWays({ peers, links }: Fleet): (from: number, to: number) => Way {
  const places = new Map(peers.map(({ id }, place) => [id, place]))
  const known = new Map(links.map((link) => [`${places.get(link.from)} ${places.get(link.to)}`, link]))
  return (from, to) => {
    const link = known.get(`${from} ${to}`) ?? known.get(`${to} ${from}`) ?? UNKNOWN
    const { rtt, bandwidth, jitter = 0, loss = 0 } = link
    return { latency: rtt / 2, jitter, rate: bandwidth / 1000, loss }
  }
}
