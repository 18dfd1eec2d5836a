/** Names, sites and reasons as people write them, or nothing; nothing that could break a line or hide in one. */
export const LABEL = /^(?:[^\p{C}\s](?:[^\p{C}]*[^\p{C}\s])?)?$/u
