# bash completion for ottla, for bash 3.2 and newer; it needs no other package.

__ottla_complete() {
  local line="${COMP_LINE:0:COMP_POINT}" words=() n=-1 i word
  # Readline has split the line at : and = too. What stands without a space between is one word.
  for ((i = 0; i <= COMP_CWORD; i++)); do
    if ((n < 0)) || [[ $line == [[:blank:]]* ]]; then
      line="${line#"${line%%[![:blank:]]*}"}"
      words[++n]=''
    fi
    word="${COMP_WORDS[i]}"
    [[ $line == "$word"* ]] || word="$line" # the cursor stands within this word
    words[n]+="$word"
    line="${line:${#word}}"
  done
  [[ $word == [:=]* ]] && word=''
  local kept="${words[n]%"$word"}" # readline replaces only what follows it
  for ((i = 0; i <= n; i++)); do words[i]="${words[i]//[\'\"\\]/}"; done

  local found=() directive
  while IFS= read -r word; do found+=("$word"); done < <("${words[0]/#\~/$HOME}" __completeNoDesc "${words[@]:1}" 2>/dev/null)
  COMPREPLY=()
  ((${#found[@]})) || return 0
  directive="${found[${#found[@]} - 1]#:}" # the last line says how to go on: 1 error, 2 no space, 4 no files, 8 files with these endings, 16 directories
  unset "found[${#found[@]} - 1]"
  ((directive & 1)) && return 0
  if type compopt >/dev/null 2>&1; then
    ((directive & 2)) && compopt -o nospace
    ((directive & 4)) && compopt +o default
  fi

  local current="${words[n]}" flag=''
  [[ $current == -*=* ]] && flag="${current%%=*}=" && current="${current#*=}"
  if ((directive & 16)); then
    while IFS= read -r word; do COMPREPLY+=("$word"); done < <(compgen -d -- "$current")
    return 0
  fi
  if ((directive & 8)); then
    while IFS= read -r word; do
      for i in "${found[@]}"; do [[ -d $word || $word == *."$i" ]] && COMPREPLY+=("$word") && break; done
    done < <(compgen -f -- "$current")
    return 0
  fi
  for word in ${found[@]+"${found[@]}"}; do
    [[ $word == "$current"* ]] && word="$flag$word" && COMPREPLY+=("${word#"$kept"}")
  done
  return 0
}

complete -o default -F __ottla_complete ottla
