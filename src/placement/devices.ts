/**
 * Devices by name, for fleets that do not exist yet. Nominal: memory and its bandwidth are those of the makers' data sheets,
 * threads are the cores that compute, and the speed of one is an estimate from its vector unit, not a measurement. A part
 * of the memory is left to the system.
 */
export interface Device {
  readonly title: string
  /** Multiply-adds a second of one thread. */
  readonly speed: number
  readonly threads: number
  /** Bytes. */
  readonly memory: number
  /** Bytes of memory read a second. */
  readonly bandwidth: number
}

const GB = 1e9

export const DEVICES: Readonly<Record<string, Device>> = {
  pi4: { title: 'Raspberry Pi 4, 8 GB', speed: 1e9, threads: 4, memory: 6 * GB, bandwidth: 12.8 * GB },
  pi5: { title: 'Raspberry Pi 5, 8 GB', speed: 4e9, threads: 4, memory: 6 * GB, bandwidth: 17.1 * GB },
  phone: { title: 'a recent phone, 8 GB', speed: 6e9, threads: 4, memory: 3 * GB, bandwidth: 51.2 * GB },
  n100: {
    title: 'a small PC with an Intel N100, 16 GB',
    speed: 5e9,
    threads: 4,
    memory: 12 * GB,
    bandwidth: 38.4 * GB,
  },
  nuc: { title: 'a small PC with 8 cores, 32 GB', speed: 9e9, threads: 8, memory: 26 * GB, bandwidth: 76.8 * GB },
  laptop: { title: 'a laptop with 8 cores, 16 GB', speed: 8e9, threads: 8, memory: 10 * GB, bandwidth: 68.3 * GB },
  macbook: { title: 'a laptop with an Apple M2, 16 GB', speed: 14e9, threads: 4, memory: 11 * GB, bandwidth: 100 * GB },
  desktop: { title: 'a desktop with 8 cores, 64 GB', speed: 12e9, threads: 8, memory: 54 * GB, bandwidth: 83.2 * GB },
  workstation: {
    title: 'a workstation with 32 cores, 256 GB',
    speed: 10e9,
    threads: 32,
    memory: 230 * GB,
    bandwidth: 332.8 * GB,
  },
  server: { title: 'a server with 64 cores, 512 GB', speed: 9e9, threads: 64, memory: 480 * GB, bandwidth: 460.8 * GB },
  vps: { title: 'a rented virtual machine, 2 cores, 4 GB', speed: 5e9, threads: 2, memory: 3 * GB, bandwidth: 20 * GB },
}
