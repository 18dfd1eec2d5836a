/** Which network interfaces are used: those of a real network; container bridges, tunnels and the like are listed. */
import { networkInterfaces } from 'node:os'
import { hostOf, isAnyAddress, isLoopback, portOf } from './addresses.ts'
import type { InterfaceChoice } from './types.ts'

/** Names by kind, as the usual software gives them (Linux, macOS, Windows). */
const SKIPPED: readonly (readonly [RegExp, string])[] = [
  [/^(docker|br-|veth|virbr|lxc|lxd|cni|flannel|cali|podman|kube|nerdctl|crio|vnet|vethernet)/i, 'container bridge'],
  [/^(vmnet|vboxnet|vmware|virtualbox|bridge\d)/i, 'virtual machine network'],
  [/^(tun|tap|utun|wg|tailscale|ts\d|zt|ppp|ipsec|gif|stf|nordlynx|proton)/i, 'tunnel: name its address to use it'],
  [/^(awdl|llw|anpi|ap\d)/i, 'radio service of the system'],
]

export type InterfaceTable = ReturnType<typeof networkInterfaces>

/**
 * Judges every address of this machine for the addresses that are listened on.
 * @param listening multiaddrs with their real ports
 */
export function chooseInterfaces(
  listening: readonly string[],
  table: InterfaceTable = networkInterfaces(),
): InterfaceChoice[] {
  const named = new Set(listening.filter((one) => !isAnyAddress(one)).map(hostOf))
  const any4 = listening.some((one) => one.startsWith('/ip4/0.0.0.0/'))
  const any6 = listening.some((one) => one.startsWith('/ip6/::/'))
  const choices: InterfaceChoice[] = []
  for (const [name, addresses] of Object.entries(table)) {
    for (const { address, family, internal } of addresses ?? []) {
      const say = (used: boolean, why: string): void => void choices.push({ name, address, used, why })
      const skipped = SKIPPED.find(([pattern]) => pattern.test(name))
      if (named.has(address)) say(true, 'named by --listen')
      else if (!(family === 'IPv4' ? any4 : any6)) say(false, 'not listened on')
      else if (internal) say(true, 'this machine only')
      else if (skipped !== undefined) say(false, skipped[1])
      else if (family === 'IPv6' && /^fe80:/i.test(address)) say(false, 'link-local: of use with a zone only')
      else if (family === 'IPv4' && address.startsWith('169.254.')) say(false, 'link-local: no network gave an address')
      else say(true, 'network')
    }
  }
  return choices
}

/**
 * The multiaddrs to announce: one for each used interface. Those of the loopback come last, and with `local` only:
 * they are of no use to another machine.
 */
export function announced(
  listening: readonly string[],
  choices: readonly InterfaceChoice[],
  local: boolean,
): readonly string[] {
  const out = new Set<string>()
  for (const one of listening) {
    if (!isAnyAddress(one)) {
      out.add(one)
      continue
    }
    const family = one.startsWith('/ip4/') ? 'ip4' : 'ip6'
    for (const choice of choices)
      if (choice.used && choice.address.includes(':') === (family === 'ip6'))
        out.add(`/${family}/${choice.address}/tcp/${portOf(one)}`)
  }
  const all = [...out]
  return [...all.filter((one) => !isLoopback(one)), ...(local ? all.filter(isLoopback) : [])]
}
