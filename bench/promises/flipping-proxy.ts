/**
 * A host's TCP connections, passed through, and now and then a bit of what passes turned over: what a bad cable, switch or
 * driver does below the encryption.
 * `node flipping-proxy.ts HOST PID OWN ONE_IN`: listens on OWN at each port on which the process PID's host listens, and
 * passes on to HOST. SIGUSR1: begins to flip, one of ONE_IN chunks. SIGUSR2: ends all connections. Prints a line for each bit
 * that it flips.
 */
import { readFileSync } from 'node:fs'
import { connect, createServer } from 'node:net'
import type { Socket } from 'node:net'
import { seeded } from '../support/random.ts'

const [host = '', pid = '', own = '', oneIn = '1000'] = process.argv.slice(2)
/** A port is told over the network before anybody comes to it, which takes longer. */
const LOOK_MS = 5
const LISTENING = '0A'
const random = seeded(7)
const mirrored = new Set<number>()
let flips = false
const open = new Set<Socket>()
process.on('SIGUSR1', () => (flips = true))
process.on('SIGUSR2', () => open.forEach((socket) => socket.destroy()))

function pass(from: Socket, to: Socket): void {
  open.add(from)
  from.on('data', (bytes: Buffer) => {
    if (flips && random() * Number(oneIn) < 1) {
      bytes[Math.floor(random() * bytes.length)]! ^= 1 << Math.floor(random() * 8)
      process.stdout.write('flipped\n')
    }
    if (to.write(bytes)) return
    from.pause()
    to.once('drain', () => from.resume())
  })
  from.on('end', () => to.end())
  from.on('error', () => to.destroy())
  from.on('close', () => {
    open.delete(from)
    to.destroy()
  })
}

function mirror(port: number): void {
  mirrored.add(port)
  createServer((near) => {
    const far = connect({ host, port, noDelay: true })
    near.setNoDelay(true)
    pass(near, far)
    pass(far, near)
  })
    .on('error', () => mirrored.delete(port))
    .listen({ host: own, port })
}

function look(): void {
  const lines = readFileSync(`/proc/${pid}/net/tcp`, 'utf8').split('\n').slice(1)
  for (const [, local = '', , state] of lines.map((line) => line.trim().split(/\s+/))) {
    const port = Number.parseInt(local.split(':')[1] ?? '', 16)
    if (state === LISTENING && !mirrored.has(port)) mirror(port)
  }
}

look()
setInterval(look, LOOK_MS)
process.stdout.write('ready\n')
