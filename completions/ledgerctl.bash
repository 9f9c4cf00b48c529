# Completion of ledgerctl. Made by tools/generate_completions.py; do not edit.
_ledgerctl_commands() {
    case $1 in
        '') echo 'init demo balance history transfer post reverse resolve import doctor serve-metrics serve help completion db ledger currency account transaction imports reconcile token config' ;;
        'db') echo 'status start stop upgrade roles' ;;
        'ledger') echo 'create list' ;;
        'currency') echo 'add list' ;;
        'account') echo 'create list show freeze unfreeze close import' ;;
        'transaction') echo 'show' ;;
        'imports') echo 'list show reverse' ;;
        'reconcile') echo 'list show open match unmatch' ;;
        'token') echo 'issue' ;;
        'config') echo 'show' ;;
    esac
}

_ledgerctl_options() {
    case $1 in
        'init') echo '--database-url' ;;
        'demo') echo '--keep' ;;
        'balance') echo '--as-of --limit --all' ;;
        'history') echo '--since --until --limit --after --before --all' ;;
        'transfer') echo '--idempotency-key -i --description --reference --effective-at --metadata --dry-run -n' ;;
        'post') echo '--idempotency-key -i --dry-run -n' ;;
        'reverse') echo '--idempotency-key -i --amount --reason --dry-run -n --yes -y --confirm' ;;
        'resolve') echo '--post --drop --yes -y --confirm' ;;
        'import') echo '--map --set --map-name --delimiter --decimal --encoding --date-format --skip-lines --explain --dry-run -n --skip-rejects --rejects --max-rejects --commit-every --expect-rows --expect-total --again' ;;
        'doctor') echo '--strict' ;;
        'serve-metrics') echo '--listen' ;;
        'serve') echo '--listen' ;;
        'db roles') echo '--print' ;;
        'currency add') echo '--exponent' ;;
        'account create') echo '--currency --type --name --min-balance --max-balance --metadata' ;;
        'account list') echo '--limit --after --all' ;;
        'account close') echo '--yes -y --confirm' ;;
        'account import') echo '--map --set --map-name --delimiter --decimal --encoding --date-format --skip-lines' ;;
        'imports list') echo '--limit' ;;
        'imports reverse') echo '--reason --skip-partial --dry-run -n --yes -y --confirm' ;;
        'reconcile') echo '--full --account --statement --format --map-name --bank-account --window --accept --skip-if-locked --deadline --pushgateway --metrics-textfile' ;;
        'reconcile list') echo '--account --limit' ;;
        'reconcile show') echo '--matches --html' ;;
        'reconcile open') echo '--account' ;;
        'reconcile match') echo '--account --line --entry --reason' ;;
        'token issue') echo '--scope --minutes --key' ;;
        'config show') echo '--origin' ;;
    esac
    echo '--config --profile --ledger -l --output -o --actor --color --fields --out --no-header --csv-safe --quiet -q --verbose -v --log-format --no-input --debug --version'
}

_ledgerctl_argument() {
    case $1 in
        'balance') echo 'account' ;;
        'history') echo 'account' ;;
        'transfer') echo 'account' ;;
        'post') echo 'file' ;;
        'import') echo 'file' ;;
        'help') echo 'exit-codes environment formats idempotency csv' ;;
        'completion') echo 'bash zsh fish' ;;
        'currency add') echo 'account' ;;
        'account create') echo 'account' ;;
        'account list') echo 'account' ;;
        'account show') echo 'account' ;;
        'account freeze') echo 'account' ;;
        'account unfreeze') echo 'account' ;;
        'account close') echo 'account' ;;
        'account import') echo 'file' ;;
    esac
}

_ledgerctl_accounts() {
    local file="${XDG_CACHE_HOME:-$HOME/.cache}/ledgerctl/accounts-${LEDGERCTL_PROFILE:-default}.txt"
    [ -r "$file" ] && compgen -W "$(< "$file")" -- "$1"
}

_ledgerctl() {
    local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD-1]} path='' word skip='' place
    # Where ':' breaks words, put together again what belongs to one account code.
    if [[ $COMP_WORDBREAKS == *:* ]]; then
        local line=${COMP_LINE:0:COMP_POINT}
        [[ $line == *[[:space:]] ]] || current=${line##*[[:space:]]}
    fi
    for ((place = 1; place < COMP_CWORD; place++)); do
        word=${COMP_WORDS[place]}
        if [ -n "$skip" ]; then skip=''; continue; fi
        case $word in
            --accept|--account|--actor|--after|--amount|--as-of|--bank-account|--before|--color|--commit-every|--config|--confirm|--currency|--database-url|--date-format|--deadline|--decimal|--delimiter|--description|--effective-at|--encoding|--entry|--expect-rows|--expect-total|--exponent|--fields|--format|--html|--idempotency-key|--keep|--key|--ledger|--limit|--line|--listen|--log-format|--map|--map-name|--max-balance|--max-rejects|--metadata|--metrics-textfile|--min-balance|--minutes|--name|--out|--output|--profile|--pushgateway|--reason|--reference|--rejects|--scope|--set|--since|--skip-lines|--statement|--type|--until|--window|-i|-l|-o) skip=1 ;;
            -*) ;;
            *) [[ " $(_ledgerctl_commands "$path") " == *" $word "* ]] && path="${path:+$path }$word" ;;
        esac
    done
    COMPREPLY=()
    case $previous in
        --output|-o) COMPREPLY=($(compgen -W 'table json jsonl csv' -- "$current")); return ;;
        --color) COMPREPLY=($(compgen -W 'auto always never' -- "$current")); return ;;
        --type) COMPREPLY=($(compgen -W 'asset liability equity income expense' -- "$current")); return ;;
        --format) COMPREPLY=($(compgen -W 'csv mt940 camt053 ofx' -- "$current")); return ;;
        --config|--out|--keep|--statement|--html|--metrics-textfile) COMPREPLY=($(compgen -f -- "$current")); return ;;
        --accept|--account|--actor|--after|--amount|--as-of|--bank-account|--before|--color|--commit-every|--config|--confirm|--currency|--database-url|--date-format|--deadline|--decimal|--delimiter|--description|--effective-at|--encoding|--entry|--expect-rows|--expect-total|--exponent|--fields|--format|--html|--idempotency-key|--keep|--key|--ledger|--limit|--line|--listen|--log-format|--map|--map-name|--max-balance|--max-rejects|--metadata|--metrics-textfile|--min-balance|--minutes|--name|--out|--output|--profile|--pushgateway|--reason|--reference|--rejects|--scope|--set|--since|--skip-lines|--statement|--type|--until|--window|-i|-l|-o) return ;;
    esac
    if [[ $current == -* ]]; then
        COMPREPLY=($(compgen -W "$(_ledgerctl_options "$path")" -- "$current"))
        return
    fi
    COMPREPLY=($(compgen -W "$(_ledgerctl_commands "$path")" -- "$current"))
    [ ${#COMPREPLY[@]} -gt 0 ] && return
    case $(_ledgerctl_argument "$path") in
        file) COMPREPLY=($(compgen -f -- "$current")) ;;
        account)
            COMPREPLY=($(_ledgerctl_accounts "$current"))
            if [[ $current == *:* && $COMP_WORDBREAKS == *:* ]]; then
                local typed=${current%"${current##*:}"}
                COMPREPLY=("${COMPREPLY[@]#"$typed"}")
            fi ;;
        *) COMPREPLY=($(compgen -W "$(_ledgerctl_argument "$path")" -- "$current")) ;;
    esac
}

complete -F _ledgerctl ledgerctl
