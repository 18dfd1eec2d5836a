/** The options of `weft up` as the init of a peer. */
import { isIPv6 } from 'node:net'
import { resolve } from 'node:path'
import { LABEL } from '../util/index.ts'
import type { CommandContext, Flags } from './context.ts'
import { BadValueError, UsageError } from './errors.ts'
import type { UpInit } from './peer-local.ts'
import { auditOf } from './sampling-options.ts'

/** Names travel in every record of the mesh and stand in tables. */
const NAME_MAX = 64

/** @throws UsageError, BadValueError */
export function peerInit({ flags, home }: CommandContext): UpInit {
  if (flags.flag('foreground') && flags.flag('detach')) {
    throw new UsageError('--foreground and --detach exclude each other')
  }
  if (flags.flag('while-stdin') && flags.flag('detach')) {
    throw new UsageError(
      '--while-stdin and --detach exclude each other',
      'a peer in the background has no standard input',
    )
  }
  const relay = flags.text('relay') as UpInit['relay'] | undefined
  const [name, network, key] = [flags.text('name'), flags.text('network'), flags.text('network-key')]
  const [lan, http] = [flags.text('lan') as UpInit['lan'] | undefined, flags.text('http')]
  const [memory, threads] = [flags.number('memory'), flags.number('threads')]
  const [disk, uploadLimit] = [flags.number('disk'), flags.number('upload-limit')]
  const [maxAge, draft] = [flags.number('max-age'), flags.text('draft')]
  const [replan, quiet] = [flags.text('replan') as UpInit['replan'] | undefined, flags.number('replan-quiet')]
  return {
    home,
    ...(name === undefined ? {} : { name: nameOf('--name', name) }),
    ...(network === undefined ? {} : { network: nameOf('--network', network) }),
    ...(key === undefined ? {} : { networkKey: resolve(key) }),
    ...listening(flags.texts('listen')),
    ...addresses(flags.texts('announce'), 'announce'),
    ...addresses(flags.texts('bootstrap'), 'bootstrap'),
    ...(lan === undefined ? {} : { lan }),
    ...(maxAge === undefined ? {} : { maxAge }),
    ...(relay === undefined ? {} : { relay }),
    ...(replan === undefined ? {} : { replan }),
    ...(quiet === undefined ? {} : { replanQuiet: quiet * 1000 }),
    ...(memory === undefined ? {} : { memory }),
    ...(threads === undefined ? {} : { threads }),
    ...(disk === undefined ? {} : { disk }),
    ...(uploadLimit === undefined ? {} : { uploadLimit }),
    ...(http === undefined ? {} : { http: httpAddress(http) }),
    ...httpAccess(flags, http),
    ...(flags.flag('journal') ? { journal: true } : {}),
    ...auditOf(flags),
    ...(draft === undefined ? {} : { draft }),
  }
}

/** Names and origins that may reach the API beside its own. */
function httpAccess(flags: Flags, http: string | undefined): Partial<UpInit> {
  const [names, origins] = [flags.texts('http-host'), flags.texts('cors')]
  if (http === 'off' && names.length + origins.length > 0) {
    throw new UsageError(`--http off and --${names.length > 0 ? 'http-host' : 'cors'} exclude each other`)
  }
  return {
    ...(names.length === 0 ? {} : { httpHosts: names.map(hostName) }),
    ...(origins.length === 0 ? {} : { cors: origins.map(origin) }),
  }
}

/** `weft.example`, `192.0.2.7`, `[2001:db8::7]`, each with or without a port: what a Host header may say. */
export function hostName(text: string): string {
  const match = /^(?:(\[[0-9a-f:.]+\])|([a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?))(?::(\d{1,5}))?$/i.exec(text)
  const address = match?.[1]?.slice(1, -1)
  if (match !== null && (address === undefined || isIPv6(address)) && Number(match[3] ?? 0) <= 65_535) return text
  const hint = text.includes('*') ? 'there is no wildcard: name each' : 'for example weft.example or weft.example:8443'
  throw new BadValueError('--http-host', text, 'a host name, with or without a port', hint)
}

/** The origin as a browser sends it: scheme, host, and a port that is not the scheme's own. */
export function origin(text: string): string {
  const url = URL.canParse(text) ? new URL(text) : undefined
  const web = url !== undefined && /^https?:$/.test(url.protocol) && !text.includes('*')
  if (web && url.origin === text) return text
  const near = web ? `did you mean ${url.origin}?` : 'for example https://chat.example'
  const hint = text.includes('*') ? 'there is no wildcard: name each origin' : near
  throw new BadValueError('--cors', text, 'the origin of a web page', hint)
}

function nameOf(option: string, text: string): string {
  if (text !== '' && LABEL.test(text) && text.length <= NAME_MAX) return text
  throw new BadValueError(option, text, `1 to ${NAME_MAX} printable characters`)
}

function listening(texts: readonly string[]): Partial<UpInit> {
  if (!texts.includes('none')) return addresses(texts, 'listen')
  if (texts.length > 1) throw new UsageError('--listen none and --listen MULTIADDR exclude each other')
  return { listen: null }
}

function addresses(texts: readonly string[], option: 'listen' | 'announce' | 'bootstrap'): Partial<UpInit> {
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
