/**
 * A real peer whose frames are damaged above the encryption, as by bad memory: a write to a lane now and then has a bit
 * turned over, one of as many as stand in the file `flip` of its home. How often is in the file `flipped` there.
 */
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { TLSSocket } from 'node:tls'
import { runProcess } from '../../src/cli/main.ts'
import { seeded } from '../support/random.ts'

const home = process.argv[process.argv.indexOf('--home') + 1]!
const random = seeded(11)
let flipped = 0

function oneIn(): number {
  try {
    return Number(readFileSync(join(home, 'flip'), 'utf8'))
  } catch {
    return Infinity
  }
}

/* oxlint-disable-next-line typescript/unbound-method -- called with its own `this` below */
const write = TLSSocket.prototype.write as (this: TLSSocket, ...rest: unknown[]) => boolean
TLSSocket.prototype.write = function damaged(this: TLSSocket, bytes: unknown, ...rest: unknown[]): boolean {
  if (!(bytes instanceof Uint8Array) || bytes.length === 0 || random() * oneIn() >= 1)
    return write.call(this, bytes, ...rest)
  const copy = bytes.slice()
  copy[Math.floor(random() * copy.length)]! ^= 1 << Math.floor(random() * 8)
  writeFileSync(join(home, 'flipped'), String(++flipped))
  return write.call(this, copy, ...rest)
}

await runProcess()
