/** Checks of the network: interfaces, multicast on each that counts, the API's port. */
import { createSocket } from 'node:dgram'
import type { Socket } from 'node:dgram'
import { once } from 'node:events'
import { createServer } from 'node:net'
import { networkInterfaces } from 'node:os'
import { reasonOf } from '../errors.ts'
import { fail, ok, warn } from './finding.ts'
import type { Check, DoctorFacts, Finding } from './finding.ts'

/** Bridges and tunnels of containers, virtual machines and VPNs: other peers are seldom behind them. */
const VIRTUAL =
  /^(docker|veth|br-|virbr|vboxnet|vmnet|cni|flannel|cali|podman|lxc|lxd|tailscale|wg|utun|zt|tun|tap|dummy|ifb)/
/** Administratively scoped (RFC 2365), so that no router forwards the probe; not mDNS's own group, which others read. */
const PROBE_GROUP = '239.255.87.70'
const PROBE_MS = 1500
const API_PORT = 7333

interface Face {
  readonly name: string
  readonly address: string
  readonly used: boolean
  readonly why: string
}

export const checkInterfaces: Check = (facts) => {
  const faces = facesOf(facts)
  const used = faces.filter((face) => face.used)
  const skipped = faces.filter((face) => !face.used)
  const list = (some: readonly Face[]): string => some.map((face) => `${face.name} ${face.address}`).join(', ')
  const findings: Finding[] = []
  if (used.length === 0) {
    findings.push(
      warn(
        'interfaces',
        'no network interface to find peers on',
        'connect a network; --bootstrap and loopback still work',
      ),
    )
  } else findings.push(ok('interfaces', list(used)))
  for (const face of skipped)
    findings.push(ok('interfaces-skipped', `${face.name} ${face.address} is skipped: ${face.why}`))
  return Promise.resolve(findings)
}

/** As the running peer chose, or as it would look from here. */
function facesOf({ status }: DoctorFacts): Face[] {
  if (status !== null) return [...status.interfaces]
  const faces: Face[] = []
  for (const [name, addresses] of Object.entries(networkInterfaces())) {
    for (const { address, family, internal } of addresses ?? []) {
      if (internal || (family === 'IPv6' && address.startsWith('fe80'))) continue
      const virtual = VIRTUAL.test(name)
      faces.push({
        name,
        address,
        used: !virtual,
        why: virtual ? 'a bridge or tunnel by its name' : 'a network of this machine',
      })
    }
  }
  return faces
}

export const checkMulticast: Check = async (facts) => {
  const faces = facesOf(facts).filter((face) => face.used && face.address.includes('.'))
  const findings: Finding[] = []
  for (const { name, address } of faces) {
    const problem = await probe(facts, address)
    findings.push(
      problem === null
        ? ok('multicast', `multicast comes back on ${name}`)
        : warn(
            'multicast',
            `multicast does not work on ${name}: ${problem}`,
            'peers will not find each other here by themselves: use --bootstrap, or open UDP 5353 in the firewall',
          ),
    )
  }
  return findings
}

/** Null when a datagram to the group comes back to its sender. */
async function probe({ io, signal }: DoctorFacts, address: string): Promise<string | null> {
  const socket = createSocket({ type: 'udp4', reuseAddr: true })
  const text = Buffer.from(io.random.bytes(16)).toString('hex')
  const controller = new AbortController()
  const cancel = io.clock.after(PROBE_MS, () => controller.abort())
  const limit = AbortSignal.any([signal, controller.signal])
  try {
    socket.bind(0, '0.0.0.0')
    await once(socket, 'listening', { signal: limit })
    socket.setMulticastInterface(address)
    socket.setMulticastLoopback(true)
    socket.setMulticastTTL(1)
    socket.addMembership(PROBE_GROUP, address)
    const back = untilMessage(socket, text, limit)
    socket.send(text, socket.address().port, PROBE_GROUP)
    await back
    return null
  } catch (error) {
    signal.throwIfAborted()
    return controller.signal.aborted ? 'nothing came back' : reasonOf(error)
  } finally {
    cancel()
    socket.close()
  }
}

async function untilMessage(socket: Socket, text: string, signal: AbortSignal): Promise<void> {
  for (;;) {
    const [message] = (await once(socket, 'message', { signal })) as [Buffer]
    if (message.toString() === text) return
  }
}

export const checkPort: Check = async ({ status }) => {
  if (status !== null) {
    const { http } = status.peer
    return [ok('port', http === null ? 'the API is off' : `the API listens on ${http}`)]
  }
  const server = createServer()
  try {
    server.listen({ host: '127.0.0.1', port: API_PORT, exclusive: true })
    await once(server, 'listening')
    return [ok('port', `127.0.0.1:${API_PORT} is free for the API`)]
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EADDRINUSE')
      return [fail('port', `cannot listen: ${reasonOf(error)}`, 'name another with --http HOST:PORT')]
    return [
      warn(
        'port',
        `127.0.0.1:${API_PORT} is in use: the API takes another free port`,
        'name one with --http HOST:PORT',
      ),
    ]
  } finally {
    server.close()
  }
}
