/** The options of `weft up` as the init of a peer. */
import { resolve } from 'node:path'
import type { CommandContext } from './context.ts'
import { BadValueError, UsageError } from './errors.ts'
import type { UpInit } from './peer-local.ts'

/** Names travel in every record of the mesh and stand in tables. */
const NAME_MAX = 64

/** @throws UsageError, BadValueError */
export function peerInit({ flags, home }: CommandContext): UpInit {
  if (flags.flag('foreground') && flags.flag('detach')) {
    throw new UsageError('--foreground and --detach exclude each other')
  }
  const [name, network, key] = [flags.text('name'), flags.text('network'), flags.text('network-key')]
  const [lan, http] = [flags.text('lan') as UpInit['lan'] | undefined, flags.text('http')]
  const [memory, threads] = [flags.number('memory'), flags.number('threads')]
  return {
    home,
    ...(name === undefined ? {} : { name: nameOf('--name', name) }),
    ...(network === undefined ? {} : { network: nameOf('--network', network) }),
    ...(key === undefined ? {} : { networkKey: resolve(key) }),
    ...addresses(flags.texts('listen'), 'listen'),
    ...addresses(flags.texts('bootstrap'), 'bootstrap'),
    ...(lan === undefined ? {} : { lan }),
    ...(memory === undefined ? {} : { memory }),
    ...(threads === undefined ? {} : { threads }),
    ...(http === undefined ? {} : { http: httpAddress(http) }),
  }
}

function nameOf(option: string, text: string): string {
  if (/^[^\p{C}\s](?:[^\p{C}]*[^\p{C}\s])?$/u.test(text) && text.length <= NAME_MAX) return text
  throw new BadValueError(option, text, `1 to ${NAME_MAX} printable characters`)
}

function addresses(texts: readonly string[], option: 'listen' | 'bootstrap'): Partial<UpInit> {
  const wrong = texts.find((text) => !/^\/[a-z0-9]+\/./.test(text))
  if (wrong !== undefined) {
    throw new BadValueError(`--${option}`, wrong, 'a multiaddr', 'for example /ip4/192.0.2.7/tcp/7334')
  }
  return texts.length === 0 ? {} : { [option]: texts }
}

/** `127.0.0.1:7333`, `[::1]:7333`, `7333` or `off`. */
export function httpAddress(text: string): { host: string; port: number } | null {
  if (text === 'off') return null
  const match = /^(?:(\[[0-9a-f:.]+\]|[^\s:[\]]+):)?(\d{1,5})$/i.exec(text)
  const port = Number(match?.[2])
  if (match === null || port > 65_535) {
    throw new BadValueError('--http', text, 'HOST:PORT or off', 'for example 127.0.0.1:7333')
  }
  return { host: (match[1] ?? '127.0.0.1').replace(/^\[|\]$/g, ''), port }
}
